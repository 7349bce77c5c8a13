"""Settings from environment variables: ``DANZAR_VRAM__TELEMETRY__MODE=simulated``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from danzar.config.base import Settings
from danzar.config.problems import Problem, nearest
from danzar.config.schema import is_text, known_keys, paths, schema_at
from danzar.config.secrets import SECRET_ADVICE, names_secret
from danzar.config.yaml_lines import KeyPath, YamlProblem, read_yaml

PREFIX = "DANZAR_"
SEPARATOR = "__"


@dataclass(frozen=True, slots=True)
class Override:
    """One variable that changes one setting."""

    variable: str
    path: KeyPath
    value: Any


def variables_for(section: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that mean this file (``BOT`` is ``bot_config.yaml``), by name."""
    prefix = f"{PREFIX}{section}{SEPARATOR}"
    return {name: environ[name] for name in sorted(environ) if name.upper().startswith(prefix)}


def stray_variables(sections: list[str], environ: Mapping[str, str]) -> list[Problem]:
    """Variables that look like settings but belong to no file (``DANZAR_VISON__...``)."""
    problems = []
    for name in sorted(environ):
        section, separator, rest = name.upper().removeprefix(PREFIX).partition(SEPARATOR)
        if not (name.upper().startswith(PREFIX) and separator) or section in sections:
            continue
        close = nearest(section, [known.lower() for known in sections])
        meant = f"; did you mean {PREFIX}{close.upper()}{SEPARATOR}{rest}?" if close else ""
        problems.append(Problem(f"environment variable {name}", "", f"unknown setting{meant}"))
    return problems


def read_overrides(
    section: str, model: type[Settings], data: object, environ: Mapping[str, str]
) -> tuple[list[Override], list[Problem]]:
    """What the variables change in ``data``, and which of them mean nothing."""
    overrides: list[Override] = []
    problems: list[Problem] = []
    for variable, text in variables_for(section, environ).items():
        parts = variable[len(PREFIX) + len(section) + len(SEPARATOR) :].split(SEPARATOR)
        path = _match(model, parts, data)
        if path is None:
            message = _unknown(section, model, variable)
            problems.append(Problem(f"environment variable {variable}", "", message))
            continue
        try:
            overrides.append(Override(variable, path, read_value(model, path, data, text)))
        except YamlProblem as exc:
            problems.append(Problem(f"environment variable {variable}", "", str(exc)))
    return overrides, problems


def apply(overrides: list[Override], data: dict[str, Any]) -> None:
    """Write the overrides into the data, in place."""
    for override in overrides:
        section = data
        for part in override.path[:-1]:
            if not isinstance(section.get(str(part)), dict):
                section[str(part)] = {}
            section = section[str(part)]
        section[str(override.path[-1])] = override.value


def _match(model: type[Settings], parts: list[str], data: object) -> KeyPath | None:
    """The setting's path; where its owner names the keys, the names in ``data`` count too."""
    path: KeyPath = ()
    for part in parts:
        section = schema_at(model, path, data)
        if section is None:
            return None
        candidates = [*known_keys(section), *_owner_keys(path, data)]
        key = next((c for c in candidates if _same(c, part)), None)
        if key is None and not section.get("additionalProperties"):
            return None
        path = (*path, key if key is not None else part.lower())
    return path if schema_at(model, path, data) is not None else None


def _owner_keys(path: KeyPath, data: object) -> list[str]:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return [str(key) for key in data] if isinstance(data, dict) else []


def _same(key: str, part: str) -> bool:
    return key.lower().replace("-", "_") == part.lower().replace("-", "_")


def _unknown(section: str, model: type[Settings], variable: str) -> str:
    if names_secret(variable):
        return f"unknown setting; {SECRET_ADVICE}"
    names = [
        f"{PREFIX}{section}{SEPARATOR}{SEPARATOR.join(str(part) for part in path)}".upper()
        for path in paths(model)
    ]
    close = nearest(variable, [name.lower() for name in names])
    return f"unknown setting; did you mean {close.upper()}?" if close else "unknown setting"


def read_value(model: type[Settings], path: KeyPath, data: object, text: str) -> Any:  # noqa: ANN401 - whatever YAML can say
    """The text read as YAML; for a setting that is text, anything else stays as it was typed.

    Raises:
        danzar.config.yaml_lines.YamlProblem: It is no YAML.
    """
    schema = schema_at(model, path, data) or {}
    try:
        value = read_yaml(text).data if text.strip() else text
    except YamlProblem:
        if not is_text(schema):
            raise
        return text
    if value == {} and not text.strip().startswith("{"):
        value = None
    keeps = isinstance(value, str) or (value is None and schema.get("nullable"))
    return text if is_text(schema) and not keeps else value
