"""The questions that a worker was asked and has not answered yet."""

import asyncio
from collections.abc import Callable

from danzar.workers import protocol
from danzar.workers.outcomes import WorkerExit

Reply = (
    protocol.Loaded
    | protocol.LoadFailed
    | protocol.Unloaded
    | protocol.PartMessage
    | protocol.Done
    | protocol.Failed
    | protocol.Trimmed
    | protocol.Kept
    | protocol.Prepared
)
_Terminal = (
    protocol.Loaded
    | protocol.LoadFailed
    | protocol.Unloaded
    | protocol.Done
    | protocol.Failed
    | protocol.Trimmed
    | protocol.Kept
    | protocol.Prepared
    | WorkerExit
)


class Call:
    """One question to the worker and the replies that wait to be read.

    Attributes:
        model: Which model computes for it; empty for loads and unloads.
        progress: The backend's own count of signs of computing.
        sign_s: Loop time of the last sign.
        ended: Its last reply has come.
    """

    def __init__(self, model: str, now_s: float) -> None:
        self.model = model
        self.sign_s = now_s
        self.progress = 0
        self.ended = False
        self.replies: asyncio.Queue[Reply | WorkerExit] = asyncio.Queue()

    def add(self, reply: Reply | WorkerExit) -> None:
        """Queue a reply for whoever reads them."""
        self.ended = self.ended or isinstance(reply, _Terminal)
        self.replies.put_nowait(reply)


class Calls:
    """All open questions of one worker. For one event loop."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._open: dict[int, Call] = {}
        self._end: WorkerExit | None = None

    @property
    def models(self) -> frozenset[str]:
        """The models that compute, or are about to."""
        return frozenset(call.model for call in self._open.values() if call.model)

    def open(self, request_id: int, model: str = "") -> Call:
        """Begin one; where the worker has ended, its end is the reply."""
        call = self._open[request_id] = Call(model, self._now_s())
        if self._end is not None:
            call.add(self._end)
        return call

    def close(self, request_id: int) -> None:
        """Forget one: later replies to it are dropped."""
        del self._open[request_id]

    def note_reply(self, reply: Reply) -> None:
        """Hand a reply to its question."""
        call = self._open.get(reply.id)
        if call is not None:
            call.add(reply)
            self._note_sign(call.model)

    def note_busy(self, busy: protocol.Busy) -> None:
        """A heartbeat told how far a request is."""
        call = self._open.get(busy.id)
        if call is not None and busy.progress != call.progress:
            call.progress = busy.progress
            self._note_sign(call.model)

    def end_all(self, end: WorkerExit) -> None:
        """The worker is gone: that is every open question's last reply."""
        self._end = end
        for call in self._open.values():
            call.add(end)

    def _note_sign(self, model: str) -> None:
        """A sign for one request is one for those that wait behind it."""
        for call in self._open.values():
            if call.model == model:
                call.sign_s = self._now_s()
