"""How a command on this machine reaches the bot that runs here: loopback, and a secret in a file.

The bot writes address and secret into its data folder, readable by its owner alone. Whoever may
read that file may change the settings anyway. It works alike on Linux and Windows.
"""

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from danzar.config.secrets import redact
from danzar.errors import ConfigError
from danzar.live.asking import Address, posted
from danzar.live.live_config import Applied, LiveConfig

_FILE = "control.json"
DEMO_FILE = "control-demo.json"
NOTE_VARIABLE = "DANZAR_CONTROL_NOTE"
_LOOPBACK = "127.0.0.1"
_PATH = "/v1/config"
ALIVE_PATH = "/v1/alive"
_TIMEOUT_S = 10.0
_MAX_BODY_BYTES = 64 * 1024
WHO = "command line"


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command wants: one setting, or without ``key`` what the files say now."""

    key: str | None = None
    value: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What changed, as lines; or why nothing did."""

    changes: list[str] = []
    refused: str | None = None


@asynccontextmanager
async def serve_control(
    live: LiveConfig, data_folder: Path, routes: Mapping[str, Handler] | None = None
) -> AsyncIterator[None]:
    """Take commands while the context lasts.

    Args:
        live: What ``danzar config`` changes.
        data_folder: Exists.
        routes: Further paths for POST; only who knows the secret gets to them.
    """
    secret = secrets.token_urlsafe(32)
    app = _app(live, secret, routes or {})
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, _LOOPBACK, 0).start()
        url = f"http://{_LOOPBACK}:{runner.addresses[0][1]}"
        address = _address(url, secret, live, data_folder)
        # A demo's data folder is a temporary one: it says where commands look for its note.
        note = Path(os.environ.get(NOTE_VARIABLE) or data_folder / _FILE)
        with _announced(note, msgspec.json.encode(address)):
            yield
    finally:
        await runner.cleanup()


def find_bots(data_folder: Path, folder: Path | None) -> tuple[Address, ...]:
    """The bot that runs with these settings, and a demo's behind it, by the notes that they left.

    Any of them may have died since.
    """
    here = str(folder.resolve()) if folder is not None else None
    return tuple(note for note in notes_in(data_folder) if note.folder == here)


def notes_in(data_folder: Path) -> tuple[Address, ...]:
    """What bots with this data folder left, and a demo with its own; any may have died since."""
    notes = (_read_note(data_folder / name) for name in (_FILE, DEMO_FILE))
    return tuple(note for note in notes if note is not None)


def _address(url: str, secret: str, live: LiveConfig, data_folder: Path) -> Address:
    folder = (live.config.folder or Path()).resolve()
    return Address(url, secret, str(folder), str(data_folder.resolve()))


def _read_note(file: Path) -> Address | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        return None


async def ask_bot(address: Address, wish: Wish) -> Answer | None:
    """What the bot says; ``None`` where none is there any more.

    Raises:
        danzar.live.asking.BotSilent: It is there and does not answer.
    """
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with posted(address, _PATH, wish, timeout) as body:
        if body is None:
            return None
        return msgspec.json.decode(await body.read(), type=Answer)


def _app(live: LiveConfig, secret: str, routes: Mapping[str, Handler]) -> web.Application:
    @web.middleware
    async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {secret}".encode()):
            return web.Response(status=web.HTTPForbidden.status_code)
        return await handler(request)

    async def post(request: web.Request) -> web.StreamResponse:
        try:
            wish = msgspec.json.decode(await request.read(), type=Wish)
        except msgspec.DecodeError:
            return web.Response(status=web.HTTPBadRequest.status_code)
        body = msgspec.json.encode(await _grant(live, wish))
        return web.Response(body=body, content_type="application/json")

    async def alive(_request: web.Request) -> web.StreamResponse:
        return web.Response()

    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[refuse_strangers])
    for path, handler in {_PATH: post, ALIVE_PATH: alive, **routes}.items():
        app.router.add_post(path, handler)
    return app


async def _grant(live: LiveConfig, wish: Wish) -> Answer:
    try:
        applied = await _apply(live, wish)
    except ConfigError as exc:
        return Answer(refused=redact(str(exc)))
    return Answer([str(change) for change in applied.changes])


async def _apply(live: LiveConfig, wish: Wish) -> Applied:
    if wish.key is None:
        return await live.reload(who=WHO)
    return await live.set(wish.key, wish.value, who=WHO)


@contextlib.contextmanager
def _announced(file: Path, content: bytes) -> Iterator[None]:
    """Keep the note while the context lasts; another bot's newer one is left alone."""
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if file.read_bytes() == content:
                file.unlink()
