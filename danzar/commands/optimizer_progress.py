"""A bar on standard error while the running bot works for a command."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from danzar.optimizer.wishes import Progress as Step


@contextlib.contextmanager
def share_progress(label: str | None) -> Iterator[Callable[[Step], None]]:
    """What to call with each step; draws nothing without ``label`` or where no terminal is."""
    screen = Console(stderr=True, markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    hidden = label is None or not screen.is_terminal
    with Progress(*columns, console=screen, transient=True, disable=hidden) as bar:
        task = bar.add_task(label or "", total=None)

        def show(step: Step) -> None:
            # A bar that knows no end yet swings to and fro.
            total = 1.0 if step.done else None
            bar.update(task, description=f"{label}: {step.text}", completed=step.done, total=total)

        yield show
