"""Turns what a person chose in the command picker into what Discord sends to the bot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from danzar.local.backend import Upload
from danzar.local.multipart import malformed
from danzar.local.wire import Json

SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE = range(1, 9)
MENTIONABLE, NUMBER, ATTACHMENT = 9, 10, 11
MAX_STRING = 6000


@dataclass(slots=True)
class Invocation:
    """The options of one slash command on the wire, and what their ids stand for."""

    options: list[dict[str, Any]]
    uploads: dict[str, Upload] = field(default_factory=dict)


def leaf_of(command: Mapping[str, Any], path: list[str]) -> Mapping[str, Any]:
    """The (sub)command that ``path`` names below ``command``.

    Raises:
        ApiError: There is no such subcommand, or the path ends above one.
    """
    node: Mapping[str, Any] = command
    for name in path:
        children = [o for o in node.get("options") or [] if o["type"] in {SUBCOMMAND, GROUP}]
        found = next((o for o in children if o["name"] == name), None)
        if found is None:
            raise malformed(f"command {command['name']!r} has no subcommand {' '.join(path)!r}")
        node = found
    if any(o["type"] in {SUBCOMMAND, GROUP} for o in node.get("options") or []):
        raise malformed(f"command {command['name']!r} needs a subcommand")
    return node


def invoke(
    command: Mapping[str, Any],
    path: list[str],
    given: Mapping[str, Any],
    files: Mapping[str, Upload],
    *,
    focused: str | None = None,
) -> Invocation:
    """Check the values against the command's options and nest them as Discord does.

    Args:
        command: The registered command.
        path: Names of group and subcommand below it.
        given: Values by option name, as the page's form has them: texts, numbers, booleans.
        files: Uploads by option name.
        focused: The option that the person types into, for autocompletion; then missing
            options and unknown choices are no error.

    Raises:
        ApiError: A value is missing, unknown or of the wrong kind.
    """
    leaf = leaf_of(command, path)
    known = {o["name"]: o for o in leaf.get("options") or []}
    unknown = sorted((given.keys() | files.keys()) - known.keys())
    if unknown:
        raise malformed(f"unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    invocation = Invocation(options=[])
    for name, option in known.items():
        if option["type"] == ATTACHMENT and name in files:
            invocation.uploads[name] = files[name]
            invocation.options.append({"name": name, "type": ATTACHMENT, "value": ""})
        elif given.get(name) not in {None, ""}:
            wire = {"name": name, "type": option["type"]}
            if name == focused:
                wire |= {"focused": True, "value": str(given[name])}
            else:
                wire |= {"value": _checked(option, given[name])}
            invocation.options.append(wire)
        elif name == focused:
            invocation.options.append(
                {"name": name, "type": option["type"], "focused": True, "value": ""}
            )
        elif option.get("required") and focused is None:
            raise malformed(f"option {name!r} is required")
    invocation.options = _nest(command, path, invocation.options)
    return invocation


def _nest(
    command: Mapping[str, Any], path: list[str], options: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    kinds = []
    node: Mapping[str, Any] = command
    for name in path:
        node = next(o for o in node["options"] if o["name"] == name)
        kinds.append((name, node["type"]))
    for name, kind in reversed(kinds):
        options = [{"name": name, "type": kind, "options": options}]
    return options


def _checked(option: Mapping[str, Any], value: Json) -> Json:
    """The value in the option's own type, within its range and choices."""
    name = option["name"]
    try:
        typed = _typed(option["type"], value)
    except (TypeError, ValueError) as exc:
        raise malformed(f"option {name!r} can't be {value!r}") from exc
    choices = [c["value"] for c in option.get("choices") or []]
    if choices and typed not in choices:
        raise malformed(f"option {name!r} is one of {', '.join(map(str, choices))}; got {value!r}")
    _check_range(option, typed)
    return typed


def _typed(kind: int, value: Json) -> Json:
    if kind == INTEGER:
        return int(str(value))
    if kind == NUMBER:
        return float(str(value))
    if kind == BOOLEAN:
        if not isinstance(value, bool):
            raise TypeError("neither true nor false")
        return value
    if kind in {USER, CHANNEL, ROLE, MENTIONABLE}:
        return str(int(str(value)))
    return str(value)[:MAX_STRING]


def _check_range(option: Mapping[str, Any], value: Json) -> None:
    size = value if isinstance(value, int | float) else len(str(value))
    low_key, high_key = (
        ("min_value", "max_value")
        if option["type"] in {INTEGER, NUMBER}
        else ("min_length", "max_length")
    )
    low, high = option.get(low_key), option.get(high_key)
    if (low is not None and size < low) or (high is not None and size > high):
        raise malformed(f"option {option['name']!r} must be from {low} to {high}; got {size}")
