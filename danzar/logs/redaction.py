"""Takes secrets out of what is written down: by their form, by their name, and by their value."""

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from danzar.config.secrets import names_secret, redact

HIDDEN = "***"
_SHORTEST_SECRET = 6  # a shorter value would take harmless words with it
_HEADER = re.compile(
    r"""(?ix) \b authorization (\\*["']?\s*[:=,]\s*(?-i:b)?\\*["']?)
    (?: (bearer|basic|bot|digest|token) \s+ )? [^\s"',;}\]\\]+"""
)
_SCHEME = re.compile(r"\b(Bearer|Basic|Bot)\s+[\w.~+/=-]{16,}")
_COOKIE = re.compile(r"""(?i)\b((?:set-)?cookie["']?\s*[:=]\s*["']?)[^"'\r\n}]+""")
_WEBHOOK = re.compile(r"(/api(?:/v\d+)?/(?:webhooks|interactions)/\d+/)[\w.-]{10,}")
# A name that ends as secrets do, and its value: in JSON, YAML, a query, or keyword arguments.
_NAMED = re.compile(
    r"""(?ix) ( (?: token | secret | password | passwd | passphrase
        | api[_-]?key | credentials? | private[_-]?key | access[_-]?key ) \\*["']? \s* [=:] \s* )
    ( "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?: \\+["'] ) .*? (?: \\+["'] | \Z )
    | [^\s"',;&)}\]\\]+ )"""
)
_QUOTE = re.compile(r"""\\*["']""")
_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)


def redact_line(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without secrets.

    Args:
        text: A line, a traceback or a file.
        secrets: Values that must not be in it, in whatever form it has them.
    """
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _PEM.sub(HIDDEN, text)
    text = _HEADER.sub(lambda found: f"Authorization{found[1]}{HIDDEN}", text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    text = _COOKIE.sub(rf"\1{HIDDEN}", text)
    text = _WEBHOOK.sub(rf"\1{HIDDEN}", text)
    text = _NAMED.sub(_hide_named, text)
    return redact(text)


def known_secrets(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """What the environment calls a secret, and passwords in its addresses; the longest first."""
    found: set[str] = set()
    for name, value in environ.items():
        text = value.strip()
        if names_secret(name):
            found.add(text)
        elif "://" in text and "@" in text:
            found.update(_passwords(text))
    return tuple(sorted((s for s in found if len(s) >= _SHORTEST_SECRET), key=len, reverse=True))


def _hide_named(found: re.Match[str]) -> str:
    quote = _QUOTE.match(found[2])
    mark = "" if quote is None else quote[0]
    return f"{found[1]}{mark}{HIDDEN}{mark}"


def _passwords(url: str) -> tuple[str, ...]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return ()
    return () if not password else (password, unquote(password))
