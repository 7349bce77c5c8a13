"""The optimizer's operations for commands on this machine, over the bot's control channel."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from danzar.config.optimizer import MemoryConfig
from danzar.config.secrets import redact
from danzar.errors import DanzarError
from danzar.live.control import WHO
from danzar.optimizer.benchmark import Bench
from danzar.optimizer.desk import OptimizerDesk
from danzar.optimizer.wishes import (
    PATH,
    Answered,
    AnyLine,
    AnyWish,
    Benchmark,
    Configure,
    History,
    Optimize,
    Progress,
    Refused,
    SetBatchSize,
    SetMonitoring,
    Status,
)

log = logging.getLogger(__name__)

Tell = Callable[[Progress], Awaitable[None]]
Json = dict[str, Any]


def optimizer_routes(desk: OptimizerDesk, bench: Bench) -> dict[str, Handler]:
    """For ``danzar.live.control.serve_control``."""

    async def post(request: web.Request) -> web.StreamResponse:
        try:
            wish = msgspec.json.decode(await request.read(), type=AnyWish)
        except msgspec.DecodeError:
            return web.Response(status=web.HTTPBadRequest.status_code)
        return await _stream(request, wish, desk, bench)

    return {PATH: post}


async def _stream(
    request: web.Request, wish: AnyWish, desk: OptimizerDesk, bench: Bench
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)

    async def write(line: AnyLine) -> None:
        # Whoever asked and left (Ctrl-C) ends the work with the next line.
        await response.write(msgspec.json.encode(line) + b"\n")

    try:
        last: AnyLine = Answered(await _grant(wish, desk, bench, write))
    except DanzarError as exc:
        last = Refused(redact(str(exc)))
    except ConnectionResetError:
        log.info("the command that asked for %s has gone", type(wish).__name__)
        return response
    except Exception as exc:
        log.exception("%s failed", type(wish).__name__)
        last = Refused(f"an unexpected {type(exc).__name__} in the bot; its log has the details")
    await write(last)
    await response.write_eof()
    return response


async def _grant(wish: AnyWish, desk: OptimizerDesk, bench: Bench, tell: Tell) -> Json:
    came: object
    match wish:
        case Status():
            came = desk.status()
        case History():
            came = {"history": desk.history()}
        case Optimize():
            await tell(Progress(0.0, "giving back what is cached and unused"))
            came = await desk.optimize(who=WHO)
        case SetBatchSize(size):
            came = await desk.set_batch_size(size, who=WHO)
        case SetMonitoring(on):
            came = await desk.set_monitoring(on, who=WHO)
        case Configure(values, action):
            applied = await desk.configure(values, who=WHO, action=action)
            came = {"changes": [str(change) for change in applied.changes]}
        case Benchmark(duration_s):
            came = await bench.run(duration_s, tell, who=WHO)
    body: Json = to_json(came)
    return body


def to_json(value: object) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Dataclasses, enums and times as plain values."""
    return msgspec.to_builtins(value, enc_hook=_settings)


def _settings(value: object) -> Json:
    if isinstance(value, MemoryConfig):
        return value.model_dump(mode="json")
    raise NotImplementedError(type(value).__name__)
