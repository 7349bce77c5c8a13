"""The optimizer's settings as a JSON file: what is exported reads back as the same settings."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from danzar.config.optimizer import MemoryConfig
from danzar.config.problems import InvalidConfig, Problem, model_problems
from danzar.config.yaml_lines import MAX_BYTES

SECTION = "vram.optimizer"


def to_json(config: MemoryConfig) -> str:
    """The settings with the seed's names, one a line."""
    return json.dumps(config.model_dump(mode="json"), indent=2) + "\n"


def from_json(raw: bytes, name: str) -> MemoryConfig:
    """The settings that a file holds; a key that it leaves out has its default.

    Args:
        raw: The whole file.
        name: What messages call it.

    Raises:
        InvalidConfig: It is no JSON object, or its settings are wrong; one line per mistake.
    """
    data = _read(raw, name)
    try:
        return MemoryConfig.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        problems = model_problems(MemoryConfig, data, error, lambda _path: name)
        raise InvalidConfig(tuple(problems)) from error


def settings_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Values by field as ``LiveConfig.set_all`` takes them: by key, as they stand in YAML."""
    return {f"{SECTION}.{field}": json.dumps(value) for field, value in values.items()}


def _read(raw: bytes, name: str) -> dict[str, Any]:
    if len(raw) > MAX_BYTES:
        raise _refused(name, f"has {len(raw)} bytes; at most {MAX_BYTES} are read")
    twice: list[str] = []
    try:
        data = json.loads(raw, object_pairs_hook=_noting(twice))
    except UnicodeDecodeError as exc:
        raise _refused(name, "is no text in UTF-8") from exc
    except json.JSONDecodeError as exc:
        raise _refused(f"{name}:{exc.lineno}", f"is no JSON: {exc.msg}") from exc
    except RecursionError as exc:
        raise _refused(name, "is nested too deeply") from exc
    if twice:
        raise _refused(name, f"has the key {twice[0]!r} twice")
    if not isinstance(data, dict):
        raise _refused(name, "must be an object with the settings' names as keys")
    return data


def _noting(twice: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Makes objects, and notes keys that stand in one more than once."""

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                twice.append(key)
            made[key] = value
        return made

    return make


def _refused(where: str, message: str) -> InvalidConfig:
    return InvalidConfig((Problem(where, "", message),))
