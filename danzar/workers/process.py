"""The bot's side of a worker: start it, ask it, notice when it dies or hangs, and end it."""

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import msgspec

from danzar import errors
from danzar.request_id import current_request_id
from danzar.workers import link, protocol
from danzar.workers.awake_clock import AwakeClock
from danzar.workers.calls import Call, Calls, Reply
from danzar.workers.child import Boot
from danzar.workers.contract import Frame, LoadReport, LoadSpec, Part, Request, WarmCopy
from danzar.workers.lifetime import Lifetime
from danzar.workers.outcomes import (
    Finished,
    WorkerExit,
    WorkerLimits,
    WorkerMemory,
    exit_error,
    quote_output,
)

log = logging.getLogger(__name__)

_STEP = 0.1  # of the time until a silent worker is killed: how often we look

OnSpawn = Callable[[int], Awaitable[None]]
OnExit = Callable[[WorkerExit], None]


class WorkerProcess:
    """One running worker process. Made by ``start``; ended by ``stop``. For one event loop.

    Attributes:
        engine: Which backends it may host (a value of ``contract.ENGINES``).
        name: What people call it.
    """

    def __init__(
        self, engine: str, name: str, limits: WorkerLimits, on_exit: OnExit | None
    ) -> None:
        self.engine = engine
        self.name = name
        self._limits = limits
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        longest_s = 2 * _STEP * limits.heartbeat_lost_s
        self._clock = AwakeClock(self._loop.time, longest_s=longest_s)
        self._calls = Calls(self._clock.now_s)
        self._models: set[str] = set()
        self._memory: WorkerMemory | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._exited: asyncio.Future[WorkerExit] = self._loop.create_future()
        self._heartbeat_s = self._clock.now_s()

    @classmethod
    async def start(
        cls,
        engine: str,
        *,
        name: str | None = None,
        cuda_uuids: Sequence[str] = (),
        limits: WorkerLimits | None = None,
        on_spawn: OnSpawn | None = None,
        on_exit: OnExit | None = None,
    ) -> "WorkerProcess":
        """Spawn a worker and wait until it is ready.

        To be called in a thread that lives as long as the bot: on Linux the kernel ends the worker
        when the thread that spawned it ends.

        Args:
            engine: Which backends it may host.
            name: What people call it; ``None`` is the engine.
            cuda_uuids: The cards that it sees, in this order; empty is none.
            limits: Its patience; ``None`` takes the defaults.
            on_spawn: Awaited with its process id before it can do, or hold, anything.
            on_exit: Called once on the event loop when the process is gone, whatever the cause,
                but not for a worker that never became ready.

        Raises:
            danzar.errors.WorkerStartFailed: It ended or gave no sign in ``limits.ready_s``; the
                message quotes its output, the log has all of it. No process is left.
        """
        worker = cls(engine, name or engine, limits or WorkerLimits(), on_exit)
        await worker._open(cuda_uuids, on_spawn)
        return worker

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._life.pid

    @property
    def models(self) -> frozenset[str]:
        """Names of the models that are loaded."""
        return frozenset(self._models)

    @property
    def busy_models(self) -> frozenset[str]:
        """Names of the models that compute, or are about to."""
        return self._calls.models

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet, as far as is known."""
        return not self._exited.done()

    @property
    def memory(self) -> WorkerMemory | None:
        """The last heartbeat's figures; ``None`` before the first one."""
        return self._memory

    async def load(self, spec: LoadSpec, *, timeout_s: float = 300.0) -> LoadReport:
        """Load one model.

        Raises:
            danzar.errors.ModelError: The file can't be used.
            danzar.errors.OutOfMemory: The device is full. See ``alive``: native code may have
                ended the process on that occasion.
            danzar.errors.BackendFailed: The engine refused for another reason.
            danzar.errors.WorkerDied: The process ended meanwhile.
            danzar.errors.WorkerHung: Nothing came in time; the process has been killed.
        """
        request_id = next(self._ids)
        try:
            reply = await self._ask(request_id, protocol.Load(request_id, spec), timeout_s)
        except TimeoutError:
            raise await self._kill(f"loading {spec.name} took more than {timeout_s:g} s") from None
        except asyncio.CancelledError:
            self._send(protocol.Unload(next(self._ids), spec.name))
            raise
        if isinstance(reply, protocol.LoadFailed):
            raise protocol.to_error(reply.kind, reply.message)
        self._models.add(spec.name)
        return reply.report if isinstance(reply, protocol.Loaded) else LoadReport()

    async def unload(self, model: str, *, timeout_s: float = 30.0) -> None:
        """Close one model after its requests. Unknown names are fine.

        Raises:
            danzar.errors.WorkerDied: The process ended meanwhile.
            danzar.errors.WorkerHung: It did not close in time. The process has been killed, except
                where other models answer requests in it (``alive``): those go on.
        """
        self._models.discard(model)
        request_id = next(self._ids)
        try:
            await self._ask(request_id, protocol.Unload(request_id, model), timeout_s)
        except TimeoutError:
            slow = f"unloading {model} took more than {timeout_s:g} s"
            if self.busy_models - {model}:
                raise errors.WorkerHung(f"In the {self.name} worker {slow}.") from None
            raise await self._kill(slow) from None

    async def keep(
        self, model: str, address: str, limit_bytes: int, *, timeout_s: float = 10.0
    ) -> WarmCopy:
        """Leave a model's copy in host RAM, at the address of a segment; the model stays.

        Raises:
            danzar.errors.WorkerDied: The process ended meanwhile.
            danzar.errors.BackendFailed: It can't be kept, or not in time; the process goes on.
        """
        request_id = next(self._ids)
        message = protocol.Keep(request_id, model, address, limit_bytes)
        reply = await self._ask_patiently(message, timeout_s, f"keep {model}")
        if not isinstance(reply, protocol.Kept):
            raise errors.BackendFailed(f"The {self.name} worker can't keep {model}.")
        return reply.copy

    async def prepare(self, backends: tuple[str, ...], *, timeout_s: float = 120.0) -> float:
        """Import what these backends need, and load nothing; the seconds that it took.

        Raises:
            danzar.errors.WorkerDied: The process ended meanwhile.
            danzar.errors.BackendFailed: Something can't be imported, or not in time.
        """
        request_id = next(self._ids)
        message = protocol.Prepare(request_id, backends)
        reply = await self._ask_patiently(message, timeout_s, f"prepare {', '.join(backends)}")
        if not isinstance(reply, protocol.Prepared):
            raise errors.BackendFailed(f"The {self.name} worker can't be prepared.")
        return reply.seconds

    async def trim(self, *, aggressive: bool = False, timeout_s: float = 30.0) -> protocol.Trimmed:
        """Give back memory that nothing uses; what computes goes on.

        Raises:
            danzar.errors.WorkerDied: The process ended meanwhile.
            danzar.errors.BackendFailed: It did not answer in time; it is left as it is.
        """
        request_id = next(self._ids)
        try:
            reply = await self._ask(request_id, protocol.Trim(request_id, aggressive), timeout_s)
        except TimeoutError:
            raise errors.BackendFailed(
                f"The {self.name} worker gave nothing back within {timeout_s:g} s."
            ) from None
        if not isinstance(reply, protocol.Trimmed):
            raise errors.BackendFailed(f"The {self.name} worker can't be trimmed.")
        return reply

    async def run(
        self, model: str, request: Request, *, inactive_s: float | None = None
    ) -> AsyncGenerator[Part | Finished]:
        """Yield parts as they come, then one ``Finished``.

        ``aclose`` cancels: the worker is told and waited for (``limits.cancel_s``), so that the
        model is idle afterwards; a worker that does not end the request is killed.
        Requests for one model are answered one after another, in order.
        ``inactive_s`` is the longest silence (no part and no sign of computing) while the consumer
        waits; the limits have the default.

        Raises:
            danzar.errors.BadInput: The request's content can't be used.
            danzar.errors.OutOfMemory: The device ran out; see ``alive``.
            danzar.errors.BackendFailed: The model's code raised; the worker lives on.
            danzar.errors.WorkerDied: The process ended.
            danzar.errors.WorkerHung: Silence for too long; the process has been killed.
        """
        request_id = next(self._ids)
        call = self._calls.open(request_id, model)
        self._send(protocol.Run(request_id, model, request, current_request_id()))
        try:
            while True:
                reply = await self._next_reply(call, inactive_s or self._limits.inactive_s)
                if isinstance(reply, protocol.PartMessage):
                    yield reply.part
                    self._acknowledge(reply)
                else:
                    yield self._finish(reply)
                    return
        finally:
            await self._close_call(request_id, call)

    async def wait_exit(self) -> WorkerExit:
        """Wait until the process is gone."""
        return await asyncio.shield(self._exited)

    async def stop(self) -> WorkerExit:
        """Ask it to end, then SIGTERM, then SIGKILL; returns when it and its children are gone.

        May be called more than once, and after the process has died.

        Raises:
            danzar.errors.WorkerHung: Even SIGKILL did not end it: it hangs in the driver.
        """
        self._life.order_end()
        self._send(protocol.Shutdown())
        for act in (self._life.terminate, self._life.kill):
            if (end := await self._exit_within(self._limits.stop_s)) is not None:
                return end
            act()
        return await self.kill()

    async def kill(self) -> WorkerExit:
        """End it at once; returns when it and its children are gone.

        Raises:
            danzar.errors.WorkerHung: Even SIGKILL did not end it: it hangs in the driver.
        """
        self._life.order_end()
        self._life.kill()
        if (end := await self._exit_within(self._limits.killed_s)) is not None:
            return end
        raise errors.WorkerHung(
            f"The {self.name} worker (pid {self.pid}) did not end within {self._limits.killed_s:g} "
            "s of SIGKILL: it hangs in the driver. Restart the machine to get its memory back."
        )

    # --- start and end -------------------------------------------------------------------------

    async def _open(self, cuda_uuids: Sequence[str], on_spawn: OnSpawn | None) -> None:
        keys, child_keys = link.make_keys(), link.make_keys()
        self._link = link.listen(self._receive_bytes, keys, child_keys.public)
        try:
            self._life = await Lifetime.begin(cuda_uuids, self._limits)
        except OSError as exc:
            self._link.close()
            raise errors.WorkerStartFailed(f"The {self.name} worker: {exc}") from exc
        except BaseException:  # the load was cancelled
            self._link.close()
            raise
        self._link.start()
        self._living = asyncio.create_task(self._live(), name=f"worker-{self.name}")
        try:
            if on_spawn is not None:
                await on_spawn(self.pid)
            await self._life.tell(msgspec.json.encode(self._boot(keys, child_keys)) + b"\n")
            await self._wait_ready()
        except BaseException:
            self._on_exit = None  # whoever started it learns by the exception
            self._life.kill()
            await self._exit_within(self._limits.killed_s)
            raise

    def _boot(self, keys: link.Keys, child_keys: link.Keys) -> Boot:
        return Boot(
            engine=self.engine,
            endpoint=self._link.endpoint,
            server_key=keys.public.decode(),
            public_key=child_keys.public.decode(),
            secret_key=child_keys.secret.decode(),
            heartbeat_s=self._limits.heartbeat_s,
            parent_pid=os.getpid(),
            address_space_bytes=self._limits.address_space_bytes,
        )

    async def _wait_ready(self) -> None:
        waiting: set[asyncio.Future[Any]] = {self._ready, self._exited}
        await asyncio.wait(
            waiting, timeout=self._limits.ready_s, return_when=asyncio.FIRST_COMPLETED
        )
        if self._ready.done():
            return
        if self._exited.done():
            end = self._exited.result()
            reason, output = end.cause, end.output
        else:
            reason, output = (
                f"was not ready after {self._limits.ready_s:g} s",
                self._life.output_text,
            )
        raise errors.WorkerStartFailed(f"The {self.name} worker {reason}.{quote_output(output)}")

    async def _live(self) -> None:
        """Follow the process to its end. The one task of a worker."""
        watch = asyncio.create_task(self._watch_heartbeats(), name="heartbeats")
        try:
            end = await self._life.follow()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await asyncio.to_thread(self._link.close)
        self._end(end)

    def _end(self, end: WorkerExit) -> None:
        self._models.clear()
        if not end.expected:
            log.error("%s worker pid=%s %s\n%s", self.name, self.pid, end.cause, end.output.strip())
        self._calls.end_all(end)
        self._exited.set_result(end)
        if self._on_exit is not None and self._ready.done():
            self._on_exit(end)

    async def _watch_heartbeats(self) -> None:
        await asyncio.shield(self._ready)
        lost_s = self._limits.heartbeat_lost_s
        while (left_s := self._heartbeat_s + lost_s - self._clock.now_s()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, lost_s * _STEP))
        self._life.kill(f"gave no sign of life for {lost_s:g} s and was killed")

    async def _exit_within(self, seconds: float) -> WorkerExit | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.wait_exit()
        return None

    async def _kill(self, why: str) -> errors.WorkerError:
        """End it at once; the error for whoever waited for it."""
        self._life.kill(f"was killed: {why}")
        return exit_error(self.name, await self.wait_exit())

    # --- messages ------------------------------------------------------------------------------

    def _send(self, message: protocol.ToWorker) -> None:
        self._link.send(protocol.encode(message))

    def _receive_bytes(self, data: bytes) -> None:
        """In the link's thread: decode there, act on the event loop."""
        message = protocol.decode_from_worker(data)
        if message is None:
            log.warning("%s worker sent %d bytes that are no message", self.name, len(data))
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: the bot is ending
            self._loop.call_soon_threadsafe(self._receive, message)

    def _receive(self, message: protocol.FromWorker) -> None:
        self._heartbeat_s = self._clock.now_s()
        match message:
            case protocol.Ready():
                if not self._ready.done():
                    self._ready.set_result(None)
            case protocol.Heartbeat():
                self._note_heartbeat(message)
            case _:
                self._calls.note_reply(message)

    def _note_heartbeat(self, beat: protocol.Heartbeat) -> None:
        self._memory = WorkerMemory(beat.rss_bytes, beat.allocator, beat.caches)
        for busy in beat.busy:
            self._calls.note_busy(busy)

    # --- calls ---------------------------------------------------------------------------------

    async def _ask_patiently(
        self, message: protocol.Keep | protocol.Prepare, timeout_s: float, what: str
    ) -> Reply:
        """A question that ends nothing when it is not answered in time."""
        try:
            reply = await self._ask(message.id, message, timeout_s)
        except TimeoutError:
            raise errors.BackendFailed(
                f"The {self.name} worker did not {what} within {timeout_s:g} s."
            ) from None
        if isinstance(reply, protocol.Failed):
            raise protocol.to_error(reply.kind, reply.message)
        return reply

    async def _ask(self, request_id: int, message: protocol.ToWorker, timeout_s: float) -> Reply:
        """One question with one answer; ``TimeoutError`` where none came in time."""
        call = self._calls.open(request_id)
        self._send(message)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await call.replies.get()
        finally:
            self._calls.close(request_id)
        if isinstance(reply, WorkerExit):
            raise exit_error(self.name, reply)
        return reply

    async def _next_reply(self, call: Call, inactive_s: float) -> Reply:
        # The consumer's own pause is no silence.
        call.sign_s = max(call.sign_s, self._clock.now_s())
        while True:
            left_s = call.sign_s + inactive_s - self._clock.now_s()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    reply = await call.replies.get()
                    break
            if call.sign_s + inactive_s <= self._clock.now_s():
                raise await self._kill(
                    f"{call.model} gave no sign of progress for {inactive_s:g} s"
                )
        if isinstance(reply, WorkerExit):
            raise exit_error(self.name, reply)
        return reply

    def _acknowledge(self, reply: protocol.PartMessage) -> None:
        if isinstance(reply.part, Frame):
            self._send(protocol.FrameTaken(reply.id))

    def _finish(self, reply: Reply) -> Finished:
        if isinstance(reply, protocol.Failed):
            raise protocol.to_error(reply.kind, reply.message)
        if isinstance(reply, protocol.Done):
            return Finished(reply.result, reply.seconds)
        raise errors.BackendFailed(f"The {self.name} worker answered {type(reply).__name__}.")

    async def _close_call(self, request_id: int, call: Call) -> None:
        """Cancel what still runs and wait, bounded, until it has ended."""
        cancel_s = self._limits.cancel_s
        try:
            if call.ended:
                return
            self._send(protocol.Cancel(request_id))
            async with asyncio.timeout(cancel_s):
                while not call.ended:
                    await call.replies.get()
        except TimeoutError:
            await self._kill(f"{call.model} did not stop within {cancel_s:g} s of the request")
        finally:
            self._calls.close(request_id)
