"""Asking the API in a test's own loop."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec


@dataclass(frozen=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Any
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)

    @property
    def error(self) -> Any:
        return self.json["error"]


async def ask(url: str, method: str, path: str, key: str | None = None, **more: Any) -> Answer:
    """One request over a connection of its own."""
    headers = dict(more.pop("headers", {}))
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.request(method, url + path, headers=headers, **more) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.read())


async def submit(url: str, key: str | None = None, **job: Any) -> str:
    """The id of an accepted job."""
    job = {"model": "llama-ministral", "prompt": "Explain", **job}
    answer = await ask(url, "POST", "/jobs", key, json=job)
    assert answer.status == 201, answer.content
    return answer.json["job_id"]
