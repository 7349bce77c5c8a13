"""Takes out of a text what a stranger need not know: secrets, names, numbers of people. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from danzar.logs.redaction import redact_line

_SNOWFLAKE = re.compile(r"(?<!\d)\d{17,20}(?!\d)")
# As the audit and the log name people: a name without spaces, and a number.
_NUMBERED = re.compile(r" \(\d{17,20}\)")
_NAME = re.compile(r"[^\s\"':(,]{1,40}\Z")
_LONGEST_NAME = 40
_SHORTEST_NAME = 3
# Account names that are words of the log, too.
_COMMON = frozenset({"root", "user", "admin", "danzar", "home", "system"})


@dataclass(frozen=True, slots=True)
class Private:
    """What is known to be private here.

    Attributes:
        secrets: Values that must not appear.
        home: The user's home folder.
        user: The account's name.
        host: This machine's name.
    """

    secrets: Sequence[str]
    home: str
    user: str
    host: str


def scrub(text: str, private: Private) -> str:
    """The text without secrets, and with ``~``, ``<user>``, ``<host>`` and ``<person>``."""
    text = redact_line(text, private.secrets)
    for home in _spellings(private.home):
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text, flags=re.IGNORECASE)
    for name, word in ((private.host, "<host>"), (private.user, "<user>")):
        if len(name) >= _SHORTEST_NAME and name.lower() not in _COMMON:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
    return _SNOWFLAKE.sub("<id>", _without_people(text))


def _without_people(text: str) -> str:
    pieces, end = [], 0
    for found in _NUMBERED.finditer(text):
        before = text[max(end, found.start() - _LONGEST_NAME) : found.start()]
        name = _NAME.search(before)
        if name is not None:
            pieces += [text[end : found.start() - len(name[0])], "<person>"]
            end = found.end()
    return "".join([*pieces, text[end:]])


def _spellings(home: str) -> tuple[str, ...]:
    """A path as it may stand in a text: plain, inside JSON, and with slashes on Windows."""
    home = home.rstrip("/\\")
    if not home:
        return ()
    return tuple(dict.fromkeys((home.replace("\\", "\\\\"), home, home.replace("\\", "/"))))
