"""One worker's process as the operating system sees it: its output, its end, and how to end it."""

import asyncio
import contextlib
from collections.abc import Sequence

from danzar.workers import spawn
from danzar.workers.outcomes import WorkerExit, WorkerLimits, describe_code

_OUTPUT_DRAIN_S = 2.0
_READ_BYTES = 16 * 1024


class Lifetime:
    """A spawned process, until it and its children are gone. Made by ``begin``."""

    def __init__(self, process: asyncio.subprocess.Process, limits: WorkerLimits) -> None:
        self._process = process
        self._limits = limits
        self._output = bytearray()
        self._killed_for: str | None = None
        self._ended = False
        self._ordered = False

    @classmethod
    async def begin(cls, cuda_uuids: Sequence[str], limits: WorkerLimits) -> "Lifetime":
        """Spawn a worker that sees these cards; it waits for its first line.

        Raises:
            OSError: The system would not start it.
        """
        return cls(await spawn.spawn(cuda_uuids), limits)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output_text(self) -> str:
        """The tail of what its native code printed."""
        return self._output.decode(errors="replace")

    async def tell(self, line: bytes) -> None:
        """Write to its standard input; where it died already, its end tells why."""
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(ConnectionError):
                stdin.write(line)
                await stdin.drain()

    async def follow(self) -> WorkerExit:
        """Read its output until it has ended; then end what it left behind. To be run once."""
        drain = asyncio.create_task(self._drain_output(), name="worker-output")
        try:
            code = await self._process.wait()
        finally:
            self._ended = True
            spawn.kill_group(self.pid)
            await asyncio.wait({drain}, timeout=_OUTPUT_DRAIN_S)
            drain.cancel()
            await asyncio.gather(drain, return_exceptions=True)
        return WorkerExit(
            code=code,
            cause=self._killed_for or describe_code(code),
            hung=self._killed_for is not None,
            expected=self._ordered,
            output=self.output_text,
        )

    def order_end(self) -> None:
        """From now on its end is expected."""
        self._ordered = True

    def terminate(self) -> None:
        """Ask the system to end it: SIGTERM, where there is such a thing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self, cause: str | None = None) -> None:
        """End it and its children at once; the first ``cause`` is told as its end's."""
        if not self._ended:
            self._killed_for = self._killed_for or cause
            spawn.kill_group(self.pid)

    async def _drain_output(self) -> None:
        stdout = self._process.stdout
        while stdout is not None and (data := await stdout.read(_READ_BYTES)):
            self._output += data
            del self._output[: -self._limits.kept_output_bytes]
