"""What is wrong with the settings, as one line each: where, which key, what, and what to write."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from danzar.config.base import KeyProblem, Settings
from danzar.config.other_names import elsewhere_called
from danzar.config.schema import NOTHING, allowed, known_keys, paths, schema_at, step
from danzar.config.secrets import SECRET_ADVICE, names_secret, redact, show
from danzar.config.yaml_lines import KeyPath
from danzar.errors import ConfigError

_TYPE_WORDS = {
    "string_type": "text (put it in quotes)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a section with keys",
    "model_type": "a section with keys",
    "model_attributes_type": "a section with keys",
}

_LONGEST_KEY = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: ``where`` is ``FILE:LINE`` or a variable, ``key`` may be empty."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class InvalidConfig(ConfigError):
    """The settings can't be used; its text has one line per problem."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def key_text(path: KeyPath) -> str:
    """``rules[0].when`` for ``("rules", 0, "when")``, with tokens hidden."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{_plain(part)}"
    return redact(text.removeprefix("."))


def _plain(key: str) -> str:
    """The key on one line, whatever it is made of."""
    short = key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}..."
    return short if short.isprintable() else repr(short)


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant."""
    matches = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def model_problems(
    model: type[Settings], data: object, error: ValidationError, where: Callable[[KeyPath], str]
) -> list[Problem]:
    """Every mistake that the model found, in the order of the keys."""
    return [
        Problem(where(path), key_text(path), message)
        for path, message in (_explain(model, data, detail) for detail in error.errors())
    ]


def _explain(model: type[Settings], data: object, detail: ErrorDetails) -> tuple[KeyPath, str]:
    cause = detail.get("ctx", {}).get("error")
    path = _data_path(detail["loc"], data)
    if isinstance(cause, KeyProblem):
        return (*path, *cause.path), redact(str(cause))
    if detail["type"] == "extra_forbidden" or detail["loc"][-1:] == ("[key]",):
        return path, unknown_key(model, path, data)
    if detail["type"] == "missing":
        return path, "is missing"
    return path, _wrong_value(model, path, data, detail)


def _data_path(loc: tuple[str | int, ...], data: object) -> KeyPath:
    """The path in the file: pydantic's has the kind of a union and ``[key]`` in between."""
    path: list[str | int] = []
    for i, part in enumerate(loc):
        inside = step(data, part)
        if inside is NOTHING and (i < len(loc) - 1 or part == "[key]"):
            continue
        data = inside
        path.append(part)
    return tuple(path)


def unknown_key(model: type[Settings], path: KeyPath, data: object) -> str:
    """That the key is unknown, and which one was probably meant."""
    key = str(path[-1])
    if names_secret(key):
        return SECRET_ADVICE
    if meant := elsewhere_called(model, key):
        return f"unknown key; {meant}"
    section = schema_at(model, path[:-1], data)
    known = known_keys(section) if section else []
    if close := nearest(key, known):
        return f"unknown key; did you mean {close}?"
    elsewhere = [p for p in paths(model) if p[-1] == key]
    if elsewhere:
        return f"unknown key here; did you mean {key_text(elsewhere[0])}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def _wrong_value(model: type[Settings], path: KeyPath, data: object, detail: ErrorDetails) -> str:
    key = path[-1] if path else ""
    shown = show(detail["input"], key)
    if detail["type"] in ("value_error", "assertion_error"):
        return redact(str(detail["ctx"]["error"]))
    if detail["type"] in _TYPE_WORDS:
        return f"must be {_TYPE_WORDS[detail['type']]}, not {shown}"
    schema = schema_at(model, path, data) or {}
    if limits := allowed(schema):
        return f"is {shown}; allowed: {limits}"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"needs {_tag_words(detail)}"
    return f"is {shown}; {redact(detail['msg'])[:200]}"


def _tag_words(detail: ErrorDetails) -> str:
    context = detail["ctx"]
    name = str(context["discriminator"]).strip("'")
    if "expected_tags" not in context:
        return f"the key {name}"
    return f"{name}: one of {context['expected_tags']}".replace("'", "")
