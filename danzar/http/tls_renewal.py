"""A certificate that was renewed in its file is taken up by a server that runs."""

import asyncio
import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)

_LOOK_S = 60.0
_State = tuple[tuple[int, ...], ...]
_NO_PASSPHRASE = ""  # a key that needs one is refused here; nobody is there to be asked


async def follow_certificate(
    context: ssl.SSLContext | None,
    certificate: str | None,
    key: str | None,
    *,
    look_s: float = _LOOK_S,
) -> None:
    """Show new connections what is in the files now; until cancelled, or at once without TLS.

    What can't be used (half written, of another pair) is logged, and the old one stays.
    """
    if context is None or certificate is None:
        return
    files = [Path(file) for file in (certificate, key) if file is not None]
    seen = await asyncio.to_thread(_state, files)
    while True:
        await asyncio.sleep(look_s)
        now = await asyncio.to_thread(_state, files)
        if now == seen:
            continue
        try:
            await asyncio.to_thread(_try_out, certificate, key)
            context.load_cert_chain(certificate, key, _NO_PASSPHRASE)
        except OSError as exc:  # ssl.SSLError is one
            log.warning("%s was changed, and can't be used: %s", certificate, exc)
        else:
            log.info("%s was changed, and is used from now on", certificate)
        seen = now


def _try_out(certificate: str, key: str | None) -> None:
    """Read both beside the server, which would be left with half a pair. Blocks."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key, _NO_PASSPHRASE)


def _state(files: list[Path]) -> _State:
    """What changes with the files' contents. Blocks."""
    return tuple(_state_of(file) for file in files)


def _state_of(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)
