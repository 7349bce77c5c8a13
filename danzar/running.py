"""Tasks that live as long as a context."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(*parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the parts while the context lasts; if one fails, the context fails with it."""
    async with asyncio.TaskGroup() as tasks:
        begun = [tasks.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in begun:
                task.cancel()
