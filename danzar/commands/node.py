"""``danzar node``: this machine runs jobs of a shared queue, without Discord."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator, Sequence

from danzar.app import control_routes
from danzar.commands.node_settings import with_budgets, with_name
from danzar.config.settings import Config
from danzar.core.device import DeviceKind
from danzar.desk import open_desk
from danzar.errors import BadInput
from danzar.heap import set_imports_apart
from danzar.keys.queue_url import check_queue_url
from danzar.services import open_services, preload, telemetry_of

log = logging.getLogger(__name__)

# SIGBREAK is how Windows asks a console program to end.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)
)


def settings(config: Config, name: str | None, budgets: Sequence[str]) -> Config:
    """The settings of a node.

    Raises:
        BadInput: There is no queue to share, or an option is no use.
        danzar.errors.DanzarError: The queue's address would not be safe, or a key file is damaged.
    """
    jobs = config.bot.jobs
    if not jobs.enabled:
        raise BadInput("jobs.enabled is false in bot_config.yaml: a node has nothing to run then")
    if check_queue_url(jobs.url).is_memory and jobs.keys is None:
        raise BadInput(
            "a node needs the queue that it shares: danzar node --queue rediss://HOST:PORT "
            "--keys DIR (docs/two-machines.md)"
        )
    gpus = asyncio.run(_gpus(config)) if budgets else ()
    return with_budgets(with_name(config, name), budgets, gpus)


def run_until_left(config: Config) -> None:
    """Be a node until told to leave; work in flight finishes first.

    Raises:
        danzar.errors.DanzarError: A part could not be opened.
    """
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run(config))


async def run(config: Config) -> None:
    """Be a node until a signal; the second one cancels."""
    leave = asyncio.Event()
    with _told_by_signals(leave):
        async with open_services(config) as services, open_desk(services, control_routes, None):
            if config.bot.node.preload:
                preload(services)
            set_imports_apart()
            log.info("node %s takes jobs", services.nodes.name)
            await leave.wait()
            log.info("node %s takes no more jobs and finishes those that run", services.nodes.name)


async def _gpus(config: Config) -> tuple[str, ...]:
    telemetry = await telemetry_of(config)
    try:
        snapshots = await telemetry.sample()
    finally:
        await telemetry.close()
    return tuple(s.label for s in snapshots if s.kind is DeviceKind.CUDA)


@contextlib.contextmanager
def _told_by_signals(leave: asyncio.Event) -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def told() -> None:
        if leave.is_set() and task is not None:
            task.cancel()
        leave.set()

    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(told))
        for number in _SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
