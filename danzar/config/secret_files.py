"""Secrets that stand in files: Docker's, Kubernetes' and systemd's way to hand them over.

``DISCORD_TOKEN_FILE=/run/secrets/discord_token`` is as good as ``DISCORD_TOKEN=...``.
"""

from collections.abc import MutableMapping
from pathlib import Path

from danzar.errors import ConfigError

SECRETS = ("DISCORD_TOKEN", "DANZAR_API_KEY")
SUFFIX = "_FILE"
_MAX_BYTES = 4096


def take_secrets(environ: MutableMapping[str, str]) -> None:
    """Put each secret that a file holds where all look for it: into this process's environment.

    There the log knows it and leaves it out, and workers do not inherit it.

    Raises:
        ConfigError: A file can't be read, is empty or too large, or a secret is given twice.
    """
    for name in SECRETS:
        file = environ.get(name + SUFFIX, "").strip()
        if not file:
            continue
        given, read = environ.get(name, "").strip(), _read(name, Path(file))
        if given not in ("", read):
            raise ConfigError(f"{name} and {name}{SUFFIX} say different things; leave one of them")
        environ[name] = read


def _read(name: str, file: Path) -> str:
    named = f"{file} (named by {name}{SUFFIX})"
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        text = content.decode("utf-8").strip()
    except OSError as exc:
        raise ConfigError(f"{named} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{named} is no text") from exc
    if not text or len(content) > _MAX_BYTES or len(text.split()) > 1:
        raise ConfigError(f"{named} must hold the secret alone, on one line")
    return text
