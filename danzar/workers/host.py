"""Inside a worker: the loaded models, each with its own threads, and the requests they answer."""

import contextlib
import gc
import importlib
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from danzar import errors
from danzar.heap import set_imports_apart
from danzar.request_id import current_request_id, set_request_id
from danzar.workers import protocol, segment
from danzar.workers.contract import (
    BACKENDS,
    ENGINES,
    Backend,
    Caching,
    Frame,
    Freezable,
    LoadBackend,
    LoadSpec,
    Part,
    Result,
)
from danzar.workers.trim import trim

Send = Callable[[protocol.FromWorker], None]
Job = protocol.Load | protocol.Run | protocol.Keep | protocol.Unload

# Frames on their way that the consumer has not taken. Two: one is used while the next one travels.
_FRAMES_AHEAD: Final = 2
_ROOM_CHECK_S: Final = 0.05
# Importing torch from two threads at once can meet half-made modules.
_load_lock = threading.Lock()


class Ticket:
    """One request on its way through a worker: cancelled or not, and its signs of progress."""

    def __init__(self, request_id: int) -> None:
        self.id = request_id
        self.progress = 0
        self.started = False
        self._cancelled = False
        self._room = threading.Semaphore(_FRAMES_AHEAD)

    def cancel(self) -> None:
        """Ask the backend to end."""
        self._cancelled = True

    def is_cancelled(self) -> bool:
        """What the backend asks; asking is the sign that it still computes."""
        self.progress += 1
        return self._cancelled

    def frame_taken(self) -> None:
        """The consumer took a frame."""
        self._room.release()

    def wait_for_room(self) -> None:
        """Block until one more frame may be sent, or the request is cancelled."""
        while not self.is_cancelled() and not self._room.acquire(timeout=_ROOM_CHECK_S):
            pass


class Host:
    """Owns the models of one worker. ``handle``, ``busy`` and ``caches`` are the link's thread's.

    Attributes:
        traffic: Grows with each message that comes or goes.
    """

    def __init__(self, engine: str, send: Send) -> None:
        self._engine = engine
        self._tell = send
        self._models: dict[str, _HostedModel] = {}
        self._tickets: dict[int, Ticket] = {}
        self._ended = threading.Event()
        self.traffic = 0

    def handle(self, message: protocol.ToWorker) -> None:
        """Do what the bot asked, without blocking."""
        self.traffic += 1
        match message:
            case protocol.Load():
                self._load(message)
            case protocol.Run():
                self._run(message)
            case protocol.Cancel(id):
                self._with_ticket(id, Ticket.cancel)
            case protocol.FrameTaken(id):
                self._with_ticket(id, Ticket.frame_taken)
            case protocol.Unload():
                self._unload(message)
            case protocol.Trim():
                self._trim(message)
            case protocol.Keep():
                self._keep(message)
            case protocol.Prepare():
                self._prepare(message)
            case protocol.Shutdown():
                self._ended.set()

    def busy(self) -> tuple[protocol.Busy, ...]:
        """The requests that run now."""
        tickets = tuple(self._tickets.values())
        return tuple(protocol.Busy(t.id, t.progress) for t in tickets if t.started)

    def caches(self) -> dict[str, int]:
        """Bytes that models keep in host RAM for requests that may come, by the model's name."""
        held = ((name, model.cached_bytes) for name, model in self._models.items())
        return {name: size_bytes for name, size_bytes in held if size_bytes is not None}

    def is_idle(self) -> bool:
        """Whether no request waits or is answered."""
        return not self._tickets

    def wait_for_shutdown(self, timeout_s: float) -> bool:
        """Wait at most so long; whether the bot said so."""
        return self._ended.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Cancel what runs and close the models, for ``timeout_s`` at most."""
        for ticket in tuple(self._tickets.values()):
            ticket.cancel()
        models = tuple(self._models.values())
        for model in models:
            model.put(protocol.Unload(0, ""))
        deadline_s = time.monotonic() + timeout_s
        for model in models:
            model.join(max(0.0, deadline_s - time.monotonic()))

    def _send(self, message: protocol.FromWorker) -> None:
        self.traffic += 1
        self._tell(message)

    def _load(self, message: protocol.Load) -> None:
        refusal = self._refuse_load(message.spec)
        if refusal is not None:
            self._send(protocol.LoadFailed(message.id, errors.BackendFailed.__name__, refusal))
            return
        name = message.spec.name
        failed = self._models.pop(name, None)
        if failed is not None:
            failed.put(protocol.Unload(0, name))
        model = self._models[name] = _HostedModel(message.spec, self._send, self._finish)
        model.start(message)

    def _refuse_load(self, spec: LoadSpec) -> str | None:
        if ENGINES.get(spec.backend) != self._engine:
            return f"Backend {spec.backend!r} does not belong to engine {self._engine!r}."
        present = self._models.get(spec.name)
        if present is not None and not present.load_failed:
            return f"{spec.name} is loaded already."
        return None

    def _run(self, message: protocol.Run) -> None:
        model = self._models.get(message.model)
        if model is None:
            text = f"{message.model} is not loaded in this worker."
            self._send(protocol.Failed(message.id, errors.BackendFailed.__name__, text))
            return
        ticket = Ticket(message.id)
        self._tickets[message.id] = ticket
        model.put(message, ticket)

    def _unload(self, message: protocol.Unload) -> None:
        model = self._models.pop(message.model, None)
        if model is None:
            self._send(protocol.Unloaded(message.id))
        else:
            model.put(message)

    def _keep(self, message: protocol.Keep) -> None:
        model = self._models.get(message.model)
        if model is None:
            text = f"{message.model} is not loaded in this worker."
            self._send(protocol.Failed(message.id, errors.BackendFailed.__name__, text))
        else:
            model.put(message)

    def _prepare(self, message: protocol.Prepare) -> None:
        """In a thread of its own; a load that comes meanwhile waits for the imports."""
        threading.Thread(
            target=lambda: self._send(_prepare(message)), name="prepare", daemon=True
        ).start()

    def _trim(self, message: protocol.Trim) -> None:
        """Beside what computes: it may take a while, and what is in use stays."""
        threading.Thread(target=lambda: self._send(trim(message)), name="trim", daemon=True).start()

    def _with_ticket(self, request_id: int, act: Callable[[Ticket], None]) -> None:
        ticket = self._tickets.get(request_id)
        if ticket is not None:
            act(ticket)

    def _finish(self, request_id: int) -> None:
        self._tickets.pop(request_id, None)


class _HostedModel:
    """One model and its threads, one per slot. The first one also loads and closes it."""

    def __init__(self, spec: LoadSpec, send: Send, finish: Callable[[int], None]) -> None:
        self._name = spec.name
        self._slots = spec.slots
        self._send = send
        self._finish = finish
        self._jobs: queue.SimpleQueue[tuple[Job, Ticket | None]] = queue.SimpleQueue()
        self._backend: Backend | None = None
        self._first = self._make_thread(self._live)
        self.load_failed = False

    @property
    def cached_bytes(self) -> int | None:
        """What it keeps for requests that may come; ``None`` where it keeps nothing ever."""
        backend = self._backend
        return backend.cached_bytes if isinstance(backend, Caching) else None

    def start(self, message: protocol.Load) -> None:
        """Begin to load."""
        self._jobs.put((message, None))
        self._first.start()

    def put(self, job: Job, ticket: Ticket | None = None) -> None:
        """Queue a job; ``Unload`` is the last one."""
        self._jobs.put((job, ticket))

    def join(self, timeout_s: float) -> None:
        """Wait until the model is closed."""
        self._first.join(timeout_s)

    def _make_thread(self, target: Callable[[], object]) -> threading.Thread:
        return threading.Thread(target=target, name=f"model-{self._name}", daemon=True)

    def _live(self) -> None:
        job, _ = self._jobs.get()
        if isinstance(job, protocol.Load):
            self._load(job.id, job.spec)
        others = [self._make_thread(self._serve) for _ in range(self._slots - 1)]
        for thread in others:
            thread.start()
        unload = self._serve()
        for thread in others:
            thread.join()
        self._close()
        self._send(protocol.Unloaded(unload.id))

    def _serve(self) -> protocol.Unload:
        """Answer requests until told to unload; the other slots are told as well."""
        while True:
            job, ticket = self._jobs.get()
            if isinstance(job, protocol.Unload):
                self._jobs.put((job, None))
                return job
            if isinstance(job, protocol.Run):
                self._answer(job, ticket or Ticket(job.id))
            if isinstance(job, protocol.Keep):
                self._send(self._keep(job))

    def _load(self, request_id: int, spec: LoadSpec) -> None:
        try:
            with _load_lock:
                self._backend, report = _find_loader(spec.backend)(spec)
        except Exception as exc:  # noqa: BLE001 - the outermost edge: every failure is told
            self.load_failed = True
            self._send(protocol.LoadFailed(request_id, *_describe(exc)))
        else:
            self._send(protocol.Loaded(request_id, report))

    def _keep(self, job: protocol.Keep) -> protocol.Kept | protocol.Failed:
        started_s = time.perf_counter()
        try:
            if not isinstance(self._backend, Freezable):
                raise errors.BackendFailed(f"{job.model} can't be kept in host RAM.")  # noqa: TRY301
            copy = self._backend.freeze(job.address, job.limit_bytes)
        except Exception as exc:  # noqa: BLE001 - the outermost edge: every failure is told
            return protocol.Failed(job.id, *_describe(exc))
        return protocol.Kept(job.id, copy, time.perf_counter() - started_s)

    def _answer(self, job: protocol.Run, ticket: Ticket) -> None:
        ticket.started = True
        set_request_id(job.origin)
        started_s = time.perf_counter()
        try:
            result = self._stream(job, ticket)
        except Exception as exc:  # noqa: BLE001 - the outermost edge: every failure is told
            end: protocol.Done | protocol.Failed = protocol.Failed(job.id, *_describe(exc))
        else:
            end = protocol.Done(job.id, result, time.perf_counter() - started_s)
        self._finish(job.id)
        self._send(end)

    def _stream(self, job: protocol.Run, ticket: Ticket) -> Result:
        if self._backend is None:
            raise errors.BackendFailed(f"{job.model} could not be loaded.")
        if ticket.is_cancelled():
            raise errors.Cancelled("The request was stopped before it began.")
        items = self._backend.run(job.request, ticket.is_cancelled)
        with contextlib.ExitStack() as stack:
            stack.callback(getattr(items, "close", lambda: None))
            for item in items:
                if isinstance(item, Part):
                    self._send_part(item, ticket)
                else:
                    return item
        raise errors.BackendFailed(f"{job.model} ended without a result.")

    def _send_part(self, part: Part, ticket: Ticket) -> None:
        ticket.progress += 1
        if isinstance(part, Frame):
            ticket.wait_for_room()
        self._send(protocol.PartMessage(ticket.id, part))

    def _close(self) -> None:
        segment.let_go()
        backend, self._backend = self._backend, None
        if backend is not None:
            try:
                backend.close()
            except Exception:  # noqa: BLE001 - goes to the log through stderr
                traceback.print_exc(file=sys.stderr)


def _find_loader(backend: str) -> LoadBackend:
    module, _, attribute = BACKENDS[backend].partition(":")
    load: LoadBackend = getattr(importlib.import_module(module), attribute)
    _set_first_imports_apart()
    return load


def _set_first_imports_apart() -> None:
    """Only the first: later, what a model leaves behind would be among what is set apart."""
    if gc.get_freeze_count() == 0:
        set_imports_apart()


def _prepare(message: protocol.Prepare) -> protocol.Prepared | protocol.Failed:
    started_s = time.perf_counter()
    try:
        with _load_lock:
            for backend in message.backends:
                module = importlib.import_module(BACKENDS[backend].partition(":")[0])
                getattr(module, "prepare", bool)()
            _set_first_imports_apart()
    except Exception as exc:  # noqa: BLE001 - the outermost edge: every failure is told
        return protocol.Failed(message.id, *_describe(exc))
    return protocol.Prepared(message.id, time.perf_counter() - started_s)


def _describe(error: Exception) -> tuple[str, str]:
    kind, message = protocol.describe_failure(error)
    if kind == errors.BackendFailed.__name__ and not isinstance(error, errors.DanzarError):
        sys.stderr.write(f"request {current_request_id() or 'of nobody'} failed:\n")
        traceback.print_exception(error, file=sys.stderr)
    return kind, message
