"""Finds secrets in settings, so that they are refused there and never shown."""

import re
from collections.abc import Iterator

from danzar.config.yaml_lines import KeyPath

SECRET_ADVICE = "secrets belong in DISCORD_TOKEN (the environment), never in a file"  # noqa: S105
_DISCORD_TOKEN = re.compile(r"[\w-]{23,30}\.[\w-]{6,7}\.[\w-]{27,}")
_API_KEY = re.compile(r"(danzar_[0-9a-f]{8}_)[\w-]{20,}")
_SECRET_KEY = re.compile(
    r"^(.*[_-])?(token|secret|password|passwd|passphrase|api[_-]?key|credentials?)$", re.IGNORECASE
)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_SHOWN_CHARS = 60


def holds_token(text: str) -> bool:
    """Whether a Discord token is somewhere in the text."""
    return _DISCORD_TOKEN.search(text) is not None


def names_secret(key: object) -> bool:
    """Whether a key by this name would hold a secret (``token``, ``api_key``)."""
    return isinstance(key, str) and _SECRET_KEY.match(key) is not None


def find_secrets(data: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Where tokens stand in the data."""
    match data:
        case dict():
            for key, value in data.items():
                if holds_token(str(key)):
                    yield path
                yield from find_secrets(value, (*path, key))
        case list():
            for i, value in enumerate(data):
                yield from find_secrets(value, (*path, i))
        case str() if holds_token(data):
            yield path


def redact(text: str) -> str:
    """The text without tokens and without names and passwords in addresses."""
    text = _API_KEY.sub(r"\1***", _DISCORD_TOKEN.sub("***", text))
    return _USERINFO.sub("***@", text)


def show(value: object, key: object) -> str:
    """A value as an error message may quote it: short, and never a secret."""
    if names_secret(key):
        return "(hidden)"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    text = redact(value) if isinstance(value, str) else str(value)
    if len(text) > _SHOWN_CHARS:
        text = f"{text[:_SHOWN_CHARS]}..."
    return repr(text) if isinstance(value, str) else text
