"""The bot's side of a worker: start it, ask it, notice when it dies or hangs, and end it."""

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from danzar import errors
from danzar.workers import link, protocol, spawn
from danzar.workers.child import Boot
from danzar.workers.contract import Frame, LoadReport, LoadSpec, Part, Request
from danzar.workers.outcomes import (
    Finished,
    WorkerExit,
    WorkerLimits,
    WorkerMemory,
    describe_code,
    exit_error,
    quote_output,
)

log = logging.getLogger(__name__)

_Reply = (
    protocol.Loaded
    | protocol.LoadFailed
    | protocol.Unloaded
    | protocol.PartMessage
    | protocol.Done
    | protocol.Failed
)
_Terminal = (
    protocol.Loaded
    | protocol.LoadFailed
    | protocol.Unloaded
    | protocol.Done
    | protocol.Failed
    | WorkerExit
)
_OUTPUT_DRAIN_S = 2.0
_READ_BYTES = 16 * 1024


class _Call:
    """One question to the worker and the replies that wait to be read.

    Attributes:
        progress: The backend's own count of signs of computing.
        sign_s: Loop time of the last sign.
    """

    def __init__(self, model: str, now_s: float) -> None:
        self.model = model
        self.sign_s = now_s
        self.progress = 0
        self.ended = False
        self.replies: asyncio.Queue[_Reply | WorkerExit] = asyncio.Queue()


class WorkerProcess:
    """One running worker process. Made by ``start``; ended by ``stop``. For one event loop.

    Attributes:
        engine: Which backends it may host (a value of ``contract.ENGINES``).
        cuda_uuid: The one card that it sees, or ``None`` for none.
    """

    def __init__(
        self,
        engine: str,
        cuda_uuid: str | None,
        limits: WorkerLimits,
        on_exit: Callable[[WorkerExit], None] | None,
    ) -> None:
        self.engine = engine
        self.cuda_uuid = cuda_uuid
        self._limits = limits
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._models: set[str] = set()
        self._memory: WorkerMemory | None = None
        self._output = bytearray()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._exited: asyncio.Future[WorkerExit] = self._loop.create_future()
        self._killed_for: str | None = None
        self._stopping = False
        self._heartbeat_s = self._loop.time()

    @classmethod
    async def start(
        cls,
        engine: str,
        *,
        cuda_uuid: str | None = None,
        limits: WorkerLimits | None = None,
        on_exit: Callable[[WorkerExit], None] | None = None,
    ) -> "WorkerProcess":
        """Spawn a worker and wait until it is ready.

        To be called in a thread that lives as long as the bot: on Linux the kernel ends the worker
        when the thread that spawned it ends.
        ``on_exit`` is called once on the event loop when the process is gone, whatever the cause,
        but not for a worker that never became ready.

        Raises:
            danzar.errors.WorkerStartFailed: It ended or gave no sign in ``limits.ready_s``; the
                message quotes its output, the log has all of it. No process is left.
        """
        worker = cls(engine, cuda_uuid, limits or WorkerLimits(), on_exit)
        await worker._open()
        return worker

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def models(self) -> frozenset[str]:
        """Names of the models that are loaded."""
        return frozenset(self._models)

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
        loading = f"loading {spec.name}"
        try:
            reply = await self._ask(request_id, protocol.Load(request_id, spec), loading, timeout_s)
        except asyncio.CancelledError:
            self._send(protocol.Unload(next(self._ids), spec.name))
            raise
        if isinstance(reply, protocol.LoadFailed):
            raise protocol.to_error(reply.kind, reply.message)
        self._models.add(spec.name)
        return reply.report if isinstance(reply, protocol.Loaded) else LoadReport()

    async def unload(self, model: str, *, timeout_s: float = 30.0) -> None:
        """Close one model after its requests; same errors as ``load``. Unknown names are fine."""
        self._models.discard(model)
        request_id = next(self._ids)
        message = protocol.Unload(request_id, model)
        await self._ask(request_id, message, f"unloading {model}", timeout_s)

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
        call = self._open_call(request_id, model)
        self._send(protocol.Run(request_id, model, request))
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
        """
        self._stopping = True
        self._send(protocol.Shutdown())
        for act in (self._process.terminate, self._kill_group):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.stop_s):
                    return await self.wait_exit()
            with contextlib.suppress(ProcessLookupError):
                act()
        return await self.wait_exit()

    # --- start and end -------------------------------------------------------------------------

    async def _open(self) -> None:
        keys, child_keys = link.make_keys(), link.make_keys()
        self._link = link.listen(self._receive_bytes, keys, child_keys.public)
        try:
            self._process = await spawn.spawn(self.cuda_uuid)
        except OSError as exc:
            self._link.close()
            raise errors.WorkerStartFailed(f"The {self.engine} worker: {exc}") from exc
        self._link.start()
        self._life = asyncio.create_task(self._live(), name=f"worker-{self.engine}")
        try:
            await self._hand_over(keys, child_keys)
            await self._wait_ready()
        except BaseException:
            self._on_exit = None  # whoever started it learns by the exception
            self._kill_group()
            await self.wait_exit()
            raise

    async def _hand_over(self, keys: link.Keys, child_keys: link.Keys) -> None:
        boot = Boot(
            engine=self.engine,
            endpoint=self._link.endpoint,
            server_key=keys.public.decode(),
            public_key=child_keys.public.decode(),
            secret_key=child_keys.secret.decode(),
            heartbeat_s=self._limits.heartbeat_s,
            parent_pid=os.getpid(),
            address_space_bytes=self._limits.address_space_bytes,
        )
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(ConnectionError):  # it died already: _wait_ready tells why
                stdin.write(msgspec.json.encode(boot) + b"\n")
                await stdin.drain()

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
            reason, output = f"was not ready after {self._limits.ready_s:g} s", self._output_text()
        raise errors.WorkerStartFailed(f"The {self.engine} worker {reason}.{quote_output(output)}")

    async def _live(self) -> None:
        """Follow the process to its end. The one task of a worker."""
        watch = asyncio.create_task(self._watch_heartbeats(), name="heartbeats")
        drain = asyncio.create_task(self._drain_output(), name="output")
        try:
            code = await self._process.wait()
        finally:
            self._kill_group()
            watch.cancel()
            await asyncio.wait({drain}, timeout=_OUTPUT_DRAIN_S)
            drain.cancel()
            await asyncio.gather(watch, drain, return_exceptions=True)
            await asyncio.to_thread(self._link.close)
        self._end(code)

    def _end(self, code: int) -> None:
        end = WorkerExit(
            code=code,
            cause=self._killed_for or describe_code(code),
            hung=self._killed_for is not None,
            expected=self._stopping,
            output=self._output_text(),
        )
        self._models.clear()
        if not end.expected:
            log.error(
                "%s worker pid=%s %s\n%s", self.engine, self.pid, end.cause, end.output.strip()
            )
        for call in self._calls.values():
            call.ended = True
            call.replies.put_nowait(end)
        self._exited.set_result(end)
        if self._on_exit is not None and self._ready.done():
            self._on_exit(end)

    async def _watch_heartbeats(self) -> None:
        await asyncio.shield(self._ready)
        lost_s = self._limits.heartbeat_lost_s
        while (left_s := self._heartbeat_s + lost_s - self._loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left_s)
        self._kill(f"gave no sign of life for {lost_s:g} s and was killed")

    async def _drain_output(self) -> None:
        stdout = self._process.stdout
        while stdout is not None and (data := await stdout.read(_READ_BYTES)):
            self._output += data
            del self._output[: -self._limits.kept_output_bytes]

    def _output_text(self) -> str:
        return self._output.decode(errors="replace")

    def _kill(self, cause: str) -> None:
        if self.alive and self._killed_for is None:
            self._killed_for = cause
            self._kill_group()

    def _kill_group(self) -> None:
        spawn.kill_group(self._process.pid)

    # --- messages ------------------------------------------------------------------------------

    def _send(self, message: protocol.ToWorker) -> None:
        self._link.send(protocol.encode(message))

    def _receive_bytes(self, data: bytes) -> None:
        """In the link's thread: decode there, act on the event loop."""
        message = protocol.decode_from_worker(data)
        if message is None:
            log.warning("%s worker sent %d bytes that are no message", self.engine, len(data))
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: the bot is ending
            self._loop.call_soon_threadsafe(self._receive, message)

    def _receive(self, message: protocol.FromWorker) -> None:
        self._heartbeat_s = self._loop.time()
        match message:
            case protocol.Ready():
                if not self._ready.done():
                    self._ready.set_result(None)
            case protocol.Heartbeat():
                self._note_heartbeat(message)
            case _:
                self._note_reply(message)

    def _note_heartbeat(self, beat: protocol.Heartbeat) -> None:
        self._memory = WorkerMemory(beat.rss_bytes, beat.allocated_bytes, beat.reserved_bytes)
        for busy in beat.busy:
            call = self._calls.get(busy.id)
            if call is not None and busy.progress != call.progress:
                call.progress = busy.progress
                self._note_sign(call.model)

    def _note_reply(self, reply: _Reply) -> None:
        call = self._calls.get(reply.id)
        if call is None:  # given up meanwhile
            return
        call.ended = call.ended or isinstance(reply, _Terminal)
        call.replies.put_nowait(reply)
        self._note_sign(call.model)

    def _note_sign(self, model: str) -> None:
        """A sign for one request is one for those that wait behind it."""
        for call in self._calls.values():
            if call.model == model:
                call.sign_s = self._loop.time()

    # --- calls ---------------------------------------------------------------------------------

    def _open_call(self, request_id: int, model: str) -> _Call:
        call = self._calls[request_id] = _Call(model, self._loop.time())
        if self._exited.done():
            call.ended = True
            call.replies.put_nowait(self._exited.result())
        return call

    async def _ask(
        self, request_id: int, message: protocol.ToWorker, doing: str, timeout_s: float
    ) -> _Reply:
        call = self._open_call(request_id, "")
        self._send(message)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await call.replies.get()
        except TimeoutError:
            self._kill(f"was killed: {doing} took more than {timeout_s:g} s")
            raise exit_error(self.engine, await self.wait_exit()) from None
        finally:
            del self._calls[request_id]
        if isinstance(reply, WorkerExit):
            raise exit_error(self.engine, reply)
        return reply

    async def _next_reply(self, call: _Call, inactive_s: float) -> _Reply:
        call.sign_s = max(call.sign_s, self._loop.time())  # the consumer's own pause is no silence
        while True:
            left_s = call.sign_s + inactive_s - self._loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    reply = await call.replies.get()
                    break
            if call.sign_s + inactive_s <= self._loop.time():
                self._kill(
                    f"was killed: {call.model} gave no sign of progress for {inactive_s:g} s"
                )
                reply = await self.wait_exit()
                break
        if isinstance(reply, WorkerExit):
            raise exit_error(self.engine, reply)
        return reply

    def _acknowledge(self, reply: protocol.PartMessage) -> None:
        if isinstance(reply.part, Frame):
            self._send(protocol.FrameTaken(reply.id))

    def _finish(self, reply: _Reply) -> Finished:
        if isinstance(reply, protocol.Failed):
            raise protocol.to_error(reply.kind, reply.message)
        if isinstance(reply, protocol.Done):
            return Finished(reply.result, reply.seconds)
        raise errors.BackendFailed(f"The {self.engine} worker answered {type(reply).__name__}.")

    async def _close_call(self, request_id: int, call: _Call) -> None:
        """Cancel what still runs and wait, bounded, until it has ended."""
        try:
            if call.ended:
                return
            self._send(protocol.Cancel(request_id))
            async with asyncio.timeout(self._limits.cancel_s):
                while not call.ended:
                    await call.replies.get()
        except TimeoutError:
            cancel_s = self._limits.cancel_s
            self._kill(
                f"was killed: {call.model} did not stop within {cancel_s:g} s of the request"
            )
            await self.wait_exit()
        finally:
            del self._calls[request_id]
