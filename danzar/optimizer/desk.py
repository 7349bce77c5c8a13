"""What a person may do to the optimizer: done, and written into the audit with before and after."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from danzar.live.live_config import Applied, LiveConfig
from danzar.optimizer.config_file import settings_of
from danzar.optimizer.optimizer import MemoryOptimizer
from danzar.optimizer.results import MemoryOptimizationResult, OptimizerStatus

log = logging.getLogger(__name__)

DANZAR = "danzar"
AUTO = "auto"
Audit = Callable[[str, str, str], Awaitable[None]]
"""Who, what kind of action, and the details: as ``danzar.store.Store.audit``."""


@dataclass(frozen=True, slots=True)
class Switched:
    """What a switch or a number was, and what it is; ``changed``: whether that differs."""

    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether anything is different now."""
        return self.before != self.after


class OptimizerDesk:
    """The operations; ``who`` is ``command line`` or a person, as the audit names them."""

    def __init__(self, optimizer: MemoryOptimizer, live: LiveConfig, audit: Audit) -> None:
        self._optimizer = optimizer
        self._live = live
        self._audit = audit

    def status(self) -> OptimizerStatus:
        """Everything at one instant."""
        return self._optimizer.status()

    def history(self) -> list[dict[str, Any]]:
        """What was done, oldest first."""
        return self._optimizer.get_optimization_history()

    async def optimize(self, *, who: str) -> MemoryOptimizationResult:
        """Give back what is cached and unused now."""
        result = await self._optimizer.optimize_memory()
        await self.note(who, "optimize", result_text(result))
        return result

    async def set_batch_size(self, size: int | None, *, who: str) -> Switched:
        """Keep batches at ``size`` until told otherwise; ``None``: decide again.

        Raises:
            danzar.errors.BadInput: It is out of range, or memory has no room for it.
        """
        before = self._shown_size()
        self._optimizer.set_batch_size(size)
        switched = Switched(before, self._shown_size())
        await self.note(who, "set-batch-size", f"{switched.before} -> {switched.after}")
        return switched

    async def set_monitoring(self, on: bool, *, who: str) -> Switched:
        """Act by itself, or not, until told otherwise or started again."""
        before = _on(self._optimizer.is_monitoring)
        await (self._optimizer.start_monitoring() if on else self._optimizer.stop_monitoring())
        action = "start-monitoring" if on else "stop-monitoring"
        await self.note(who, action, f"monitoring {before} -> {_on(on)}")
        return Switched(before, _on(on))

    async def configure(
        self, values: Mapping[str, Any], *, who: str, action: str = "configure"
    ) -> Applied:
        """Change some settings, by field, in the file and in what runs: all of them or none.

        Raises:
            danzar.errors.ConfigError: Refused, with the reason; nothing was changed.
        """
        applied = await self._live.set_all(
            settings_of(values), who=who, action=f"optimizer.{action}"
        )
        if not applied.changes:
            await self.note(who, action, str(applied))
        return applied

    async def note(self, who: str, action: str, detail: str) -> None:
        """Write a line into the audit."""
        await write_line(self._audit, who, action, detail)

    def _shown_size(self) -> str:
        status = self._optimizer.status()
        manual = status.manual_batch_size
        return f"{AUTO} ({status.batch_size} now)" if manual is None else str(manual)


def audit_automatic(
    audit: Audit,
) -> Callable[[MemoryOptimizationResult], Awaitable[None]]:
    """What Danzar did by itself goes into the audit, too."""

    async def on_step(result: MemoryOptimizationResult) -> None:
        if result.automatic:
            await write_line(audit, DANZAR, "automatic", result_text(result))

    return on_step


async def write_line(audit: Audit, who: str, action: str, detail: str) -> None:
    """One line about the optimizer."""
    log.info("optimizer.%s by %s: %s", action, who, detail)
    await audit(who, f"optimizer.{action}", detail)


def result_text(result: MemoryOptimizationResult) -> str:
    """One line for the audit and for people. Pure."""
    before, after = result.batch_size_before, result.batch_size_after
    outcome = result.action_taken if result.success else f"failed: {result.action_taken}"
    told = result.action_taken != "none" and (before, after) != (None, None)
    sizes = f"batch {_size(before)} -> {_size(after)}" if told else ""
    return "; ".join(filter(None, (outcome, result.freed_text, sizes, result.reason)))


def _on(flag: bool) -> str:
    return "on" if flag else "off"


def _size(size: int | None) -> str:
    return "none" if size is None else str(size)
