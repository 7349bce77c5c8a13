"""Texts of described worlds and traces as values, with every mistake named by its line. Pure."""

import json

import msgspec
from pydantic import ValidationError

from danzar.config.problems import InvalidConfig, Problem, key_text, model_problems
from danzar.config.yaml_lines import Document, KeyPath, YamlProblem, read_yaml
from danzar.errors import ConfigError
from danzar.simulate.described import DescribedWorld
from danzar.simulate.trace import Line, Trace, in_order, models_of
from danzar.simulate.world import World, make_world

_LINES = msgspec.json.Decoder(Line)


def parse_world(text: bytes | str, name: str) -> World:
    """The world that a YAML text describes; ``name`` is the file's, for messages.

    Raises:
        InvalidConfig: One line per mistake, each with file, line and key.
    """
    document = _read(text, name)
    data = document.data

    def where(path: KeyPath) -> str:
        while path and path not in document.lines:
            path = path[:-1]
        return f"{name}:{document.lines.get(path, 1)}"

    try:
        described = DescribedWorld.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise InvalidConfig(tuple(model_problems(DescribedWorld, data, error, where))) from error
    return make_world(described)


def parse_trace(text: bytes, name: str) -> Trace:
    """The trace in a text of JSON lines, or in a YAML list (``.yaml``, ``.yml``).

    Raises:
        ConfigError: A line is not one of a trace; it is named.
    """
    if name.endswith((".yaml", ".yml")):
        return in_order(_from_yaml(text, name))
    return in_order(_from_lines(text, name))


def check_names(trace: Trace, world: World, name: str) -> None:
    """Every model and card of the trace is in the world.

    Raises:
        ConfigError: One is not.
    """
    labels = {f"cuda:{d.index}" for d in world.devices if d.index >= 0}
    for line in trace:
        device = getattr(line, "device", None)
        for model in models_of(line):
            if model not in world.models:
                known = ", ".join(sorted(world.models))
                message = f"{name}: the devices file has no model {model!r}; it has {known}"
                raise ConfigError(message)
        if device is not None and device not in labels:
            known = ", ".join(sorted(labels)) or "no card"
            raise ConfigError(f"{name}: the devices file has no {device!r}; it has {known}")


def _read(text: bytes | str, name: str) -> Document:
    try:
        document = read_yaml(text)
    except YamlProblem as exc:
        problem = Problem(f"{name}:{exc.line}", key_text(exc.path), str(exc))
        raise InvalidConfig((problem,)) from exc
    problems = [Problem(f"{name}:{p.line}", key_text(p.path), str(p)) for p in document.problems]
    if problems:
        raise InvalidConfig(tuple(problems))
    return document


def _from_lines(text: bytes, name: str) -> list[Line]:
    lines: list[Line] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            lines.append(_LINES.decode(raw))
        except msgspec.DecodeError as exc:
            raise ConfigError(f"{name}:{number}: is no line of a trace: {exc}") from exc
    return lines


def _from_yaml(text: bytes, name: str) -> list[Line]:
    document = _read(text, name)
    if not isinstance(document.data, list):
        raise ConfigError(f"{name}:1: a trace in YAML is a list of lines")
    lines: list[Line] = []
    for i, item in enumerate(document.data):
        try:
            lines.append(msgspec.convert(item, Line))
        except msgspec.ValidationError as exc:
            at = document.lines.get((i,), 1)
            raise ConfigError(f"{name}:{at}: is no line of a trace: {exc}") from exc
    return lines
