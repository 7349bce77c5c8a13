"""Other programs' settings, key by key: what each is here, or why it has no counterpart.

What is read is checked as strictly as Danzar's own files: an unknown key, a wrong type or a value
out of range is a mistake with its line, and nothing is taken over.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from danzar.config.migrate_memory import MEMORY, STARTUP, VISION
from danzar.config.migrate_rule import NAME, NOTHING, Around, Program, Rule, rule_key
from danzar.config.migrate_vramcram import VRAMCRAM
from danzar.config.problems import InvalidConfig, Problem, key_text, model_problems, nearest
from danzar.config.secrets import names_secret, redact
from danzar.config.yaml_lines import Document, KeyPath, YamlProblem, read_yaml

PROGRAMS: tuple[Program, ...] = (VRAMCRAM, STARTUP, MEMORY, VISION)


@dataclass(frozen=True, slots=True)
class Setting:
    """One of Danzar's settings, and what it becomes."""

    file: str
    path: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return f"{self.file}.{key_text(self.path)}"


@dataclass(frozen=True, slots=True)
class Row:
    """One key of the other program's file.

    Attributes:
        value: What stands there; ``None`` where it is a secret that must not be shown.
        settings: What it becomes; empty where there is no counterpart, or nothing to change.
        note: Why there is none, or what differs; may be empty.
    """

    key: str
    line: int | None
    value: Any
    settings: tuple[Setting, ...]
    note: str
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """A whole file."""

    program: str
    rows: tuple[Row, ...]

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All that is to be written; where two keys make one setting, once."""
        found = {(s.file, s.path): s for row in self.rows for s in row.settings}
        return tuple(found.values())


def read_foreign(raw: bytes, file: Path, root: Path) -> Imported:
    """The settings that a file of another program holds.

    Args:
        raw: The file; YAML, or JSON.
        file: Its path: messages name it, and its relative paths begin in its folder.
        root: Danzar's project folder.

    Raises:
        InvalidConfig: It is no file of a program that is known, or has mistakes; one line each.
    """
    document = _read(raw, file.name)
    program = _program_of(document, file.name)
    _check(program, document, file.name)
    rows = (
        _row(program.rules[rule_key(path)], path, value, document, (file.parent, root))
        for path, value in _leaves(document.data, ())
    )
    return Imported(program.name, tuple(rows))


def _read(raw: bytes, name: str) -> Document:
    try:
        document = read_yaml(raw)
    except YamlProblem as exc:
        raise _refused(f"{name}:{exc.line}", key_text(exc.path), str(exc)) from exc
    if document.problems:
        wrong = (Problem(f"{name}:{p.line}", key_text(p.path), str(p)) for p in document.problems)
        raise InvalidConfig(tuple(wrong))
    return document


def _program_of(document: Document, name: str) -> Program:
    """The program with most of the file's outermost keys."""
    data = document.data if isinstance(document.data, dict) else {}

    def known(program: Program) -> int:
        return len(data.keys() & program.schema.model_fields.keys())

    best = max(PROGRAMS, key=known)
    if known(best):
        return best
    kinds = "; ".join(f"{p.file} of {p.name}" for p in PROGRAMS)
    found = ", ".join(redact(str(key)) for key in list(data)[:5])
    close = nearest(found.partition(",")[0], [k for p in PROGRAMS for k in p.schema.model_fields])
    hint = f"; did you mean {close}?" if found and close else ""
    seen = f"its keys are {found}{hint}" if found else "it has no keys"
    raise _refused(name, "", f"is no file of settings that is known here: {seen}. Known: {kinds}")


def _check(program: Program, document: Document, name: str) -> None:
    def where(path: KeyPath) -> str:
        while path and path not in document.lines:
            path = path[:-1]
        return f"{name}:{document.lines.get(path, 1)}"

    try:
        program.schema.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems = model_problems(program.schema, document.data, error, where)
        raise InvalidConfig(tuple(problems)) from error


def _leaves(data: object, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is no section, in the order of the file."""
    match data:
        case dict():
            for key, value in data.items():
                yield from _leaves(value, (*path, key))
        case list() if data and all(isinstance(item, dict) for item in data):
            for i, item in enumerate(data):
                yield from _leaves(item, (*path, i))
        case _:
            yield path, data


def _row(
    rule: Rule, path: KeyPath, value: object, document: Document, folders: tuple[Path, Path]
) -> Row:
    around = _around(path, document.data, folders)
    made = ((t.key, t.convert(value, around)) for t in rule.targets)
    settings = tuple(_setting(key, new, around.name) for key, new in made if new is not NOTHING)
    hidden = names_secret(path[-1]) and value is not None
    shown = None if hidden else value
    return Row(key_text(path), document.lines.get(path), shown, settings, rule.note, hidden)


def _around(path: KeyPath, data: Any, folders: tuple[Path, Path]) -> Around:  # noqa: ANN401
    entry, name, section = None, "", data
    for part in path[:-1]:
        section = section[part]
        if isinstance(part, int):
            entry, name = part, str(section.get("name", ""))
    return Around(section, entry, name, *folders)


def _setting(key: str, value: object, name: str) -> Setting:
    file, *path = key.split(".")
    return Setting(file, tuple(name if part == NAME else part for part in path), value)


def _refused(where: str, key: str, message: str) -> InvalidConfig:
    return InvalidConfig((Problem(where, key, message),))
