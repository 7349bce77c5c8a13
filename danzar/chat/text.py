"""Discord's markup as a model should read it, and text that can't act as marks of a prompt. Pure.

Control tokens of the loaded model are made inert again by the worker, which knows them exactly;
here are those of the common model families, so that other servers are safe as well.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

_MARKUP = re.compile(
    r"<@!?(?P<user>\d+)>|<@&(?P<role>\d+)>|<#(?P<channel>\d+)>"
    r"|<a?:(?P<emoji>\w+):\d+>|</(?P<command>[^:>]+):\d+>|<t:(?P<time>-?\d{1,12})(?::[a-zA-Z])?>"
)
_CONTROL_TOKEN = re.compile(
    r"<\|(?=[^\s|>]{1,40}\|>)|<(?=/?s>|<SYS>>|</SYS>>|(?:start|end)_of_turn>|(?:bos|eos|unk|pad)>)"
    r"|\[(?=/?INST\])",
    re.IGNORECASE,
)
# Invisible characters that hide words from people or break the marks' detection.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
# Where facts stand in a prompt; see ``prompt.py``.
FACTS_OPENING = "[The picture shows:"
_FACTS_MARK = re.compile(r"\[(?=\s*the\s+picture\s+shows)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Names:
    """What ids stand for, as far as it is known."""

    users: Mapping[int, str] = field(default_factory=dict)
    roles: Mapping[int, str] = field(default_factory=dict)
    channels: Mapping[int, str] = field(default_factory=dict)


def with_names(text: str, names: Names) -> str:
    """The text with mentions, channels, custom emoji, times and commands as people see them."""
    return _MARKUP.sub(lambda match: _name_of(match, names), text)


def _name_of(match: re.Match[str], names: Names) -> str:
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    match kind:
        case "user":
            return "@" + names.users.get(int(value), "someone")
        case "role":
            return "@" + names.roles.get(int(value), "some-role")
        case "channel":
            return "#" + names.channels.get(int(value), "some-channel")
        case "emoji":
            return f":{value}:"
        case "command":
            return f"/{value}"
        case _:
            return _time_text(int(value))


def _time_text(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "some time"


def without_facts_mark(text: str) -> str:
    """The text with the mark of measured facts made a parenthesis; nothing else is changed."""
    return _FACTS_MARK.sub("(", text)


def neutral(text: str) -> str:
    """The text of a person, in which nothing can act as a mark of the prompt.

    Invisible characters go, control tokens are broken by a space, and the mark of measured facts
    becomes a parenthesis.
    """
    visible = _INVISIBLE.sub("", text)
    unmarked = without_facts_mark(visible)
    return _CONTROL_TOKEN.sub(lambda match: match[0][0] + " " + match[0][1:], unmarked)


def one_line(text: str, limit: int) -> str:
    """The neutral text on one line, at most ``limit`` characters."""
    line = " ".join(neutral(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
