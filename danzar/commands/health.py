"""``danzar health``: is this machine's bot alive and ready? For Docker, systemd and scripts."""

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from danzar.config.settings import Config

_TIMEOUT_S = 10.0
_OK = 200


@dataclass(frozen=True, slots=True)
class Health:
    """What the bot said about itself.

    Attributes:
        missing: What is not there yet, in the bot's words; empty where it is well.
    """

    ok: bool
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` shows it."""
        return {"ok": self.ok, "missing": list(self.missing)}


def ask_health(config: Config, *, alive_only: bool) -> Health:
    """Ask ``/ready``, or ``/health`` where only life counts. Blocks for 10 s at most."""
    settings = config.bot.http
    if not settings.enabled:
        return Health(False, ("http.enabled is false, so nobody can be asked",))
    path = "/health" if alive_only else "/ready"
    try:
        status, body = _get(settings.port, path, tls=settings.tls_certificate is not None)
    except (OSError, http.client.HTTPException) as exc:
        text = f"nothing answers on 127.0.0.1:{settings.port} ({type(exc).__name__})"
        return Health(False, (text,))
    return judge(status, body)


def judge(status: int, body: bytes) -> Health:
    """What an answer means. Pure."""
    if status == _OK:
        return Health(True, ())
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    told = told if isinstance(told, dict) else {}
    missing = told.get("missing") or [told.get("reason") or f"it answered with status {status}"]
    return Health(False, tuple(str(each) for each in missing))


def _get(port: int, path: str, *, tls: bool) -> tuple[int, bytes]:
    connection = _connection(port, tls=tls)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(100_000)
    finally:
        connection.close()


def _connection(port: int, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    # Our own port on this machine, whose certificate names the machine and not 127.0.0.1; nothing
    # secret is sent or believed.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=_TIMEOUT_S, context=context)
