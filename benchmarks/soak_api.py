"""Programs that use the bot's HTTP API: jobs that are awaited, cancelled and looked at again."""

import asyncio
import time
from typing import Any

import aiohttp

MODEL = "smollm2"
_ENDED = ("completed", "failed", "cancelled")
_CREATED, _OK = 201, 200
_TOO_MANY = 429
_REFUSALS = (_TOO_MANY, 503)
_LOOK_S = 1.0
Json = dict[str, Any]


class Programs:
    """Submits, follows and remembers every job."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.ends: dict[str, tuple[str, str]] = {}
        self.open: set[str] = set()

    async def job(self, prompt: str, patience_s: float, *, cancel: bool) -> tuple[str, str]:
        """One job from its acceptance to its end; what became of it, and details."""
        body = {"model": MODEL, "prompt": prompt, "params": {"max_tokens": 60}}
        async with self._session.post(f"{self._url}/jobs", json=body) as response:
            told = await response.json()
            if response.status in _REFUSALS:
                return "refused", f"{response.status} {told}"
            if response.status != _CREATED:
                return "error", f"{response.status} {told}"
        job_id = str(told["job_id"])
        self.open.add(job_id)
        if cancel:
            async with self._session.delete(f"{self._url}/jobs/{job_id}") as response:
                await response.read()
        return await self._end_of(job_id, patience_s)

    async def completion(self, prompt: str, tokens: int = 60) -> tuple[str, str]:
        """One streamed chat completion."""
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "stream": True,
        }
        url = f"{self._url}/v1/chat/completions"
        async with self._session.post(url, json=body) as response:
            text = (await response.read()).decode()
            if response.status in _REFUSALS:
                return "refused", f"{response.status} {text[:200]}"
        is_whole = response.status == _OK and text.rstrip().endswith("data: [DONE]")
        return ("answered", "") if is_whole else ("error", f"{response.status} {text[-200:]}")

    async def audit(self) -> Json:
        """Every job asked for once more: its end must be the one that was told before."""
        changed = []
        for job_id, end in self.ends.items():
            view = await self._view(job_id)
            if _end(view) != end:
                changed.append({"job_id": job_id, "was": end, "is": view})
        return {"ended": len(self.ends), "open": sorted(self.open), "changed": changed}

    async def _end_of(self, job_id: str, patience_s: float) -> tuple[str, str]:
        until_s = time.monotonic() + patience_s
        while time.monotonic() < until_s:
            view = await self._view(job_id)
            if view.get("status") in _ENDED:
                self.open.discard(job_id)
                self.ends[job_id] = _end(view)
                return f"{view['status']}", str(view.get("error") or "")
            await asyncio.sleep(_LOOK_S)
        return "lost", job_id

    async def _view(self, job_id: str) -> Json:
        while True:
            async with self._session.get(f"{self._url}/jobs/{job_id}") as response:
                view: Json = await response.json()
            if response.status != _TOO_MANY:
                return view
            await asyncio.sleep(float(response.headers["Retry-After"]))


def _end(view: Json) -> tuple[str, str]:
    return str(view.get("status")), str(view.get("completed_at"))
