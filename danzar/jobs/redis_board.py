"""The queue of several machines, in Redis. Each change is one script, and so atomic.

Time is the server's, so that the machines' clocks need not agree.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec

from danzar.jobs import redis_link as names
from danzar.jobs.board import Changed, Line, Pull, Signal
from danzar.jobs.contract import JobState, PartCame, QueueUnavailable
from danzar.jobs.record import (
    Ending,
    JobRecord,
    News,
    Standing,
    Taken,
    new_id,
    pack,
    unpack_event,
    unpack_record,
)
from danzar.jobs.redis_link import RedisLink, open_link
from danzar.jobs.redis_signals import signals
from danzar.jobs.redis_tickets import Tickets, open_tickets

_AT_ONCE = 500  # commands in one pipeline
_SILENCE_MS = 2000
_TRY_AGAIN_S = 1.0
_READ_AT_ONCE = 200
_KNOWN_S = 86_400
_PRESENT_S = 60
_FIELDS = ("state", "attempt", "started_at", "ended_at", "node", "device", "error", "degraded")


@asynccontextmanager
async def open_redis_board(url: str, lease_s: float) -> AsyncIterator["RedisBoard"]:
    """The board at this address, which has been checked."""
    async with open_link(url) as link, open_tickets(url, link, lease_s) as tickets:
        yield RedisBoard(link, tickets, lease_s)


class RedisBoard:
    """A ``Board`` for several machines."""

    def __init__(self, link: RedisLink, tickets: Tickets, lease_s: float) -> None:
        self._link = link
        self._redis = link.client
        self._tickets = tickets
        self._lease_s = lease_s

    @property
    def host(self) -> str:
        """As in ``Board``."""
        return self._link.host

    async def put(self, jobs: Sequence[tuple[JobRecord, int]]) -> None:
        """As in ``Board``."""
        for start in range(0, len(jobs), _AT_ONCE):
            await self._put_some(jobs[start : start + _AT_ONCE])

    async def put_one(self, record: JobRecord) -> int | None:
        """As in ``Board``."""
        # The ticket goes at the same time. One that is lost, or redeemed before its job is there,
        # is mended within seconds by those who serve the model.
        put = self._link.run("put", *_putting(record, 0))
        ticket = self._tickets.add(record.request.model, 1)
        place: Any
        place, lost = await asyncio.gather(put, ticket, return_exceptions=True)
        if isinstance(place, BaseException):
            raise place
        if lost is not None and not isinstance(lost, QueueUnavailable):
            raise lost
        return int(place) or None

    async def _put_some(self, jobs: Sequence[tuple[JobRecord, int]]) -> None:
        put = self._link.script("put")
        async with self._link.reaching(), self._redis.pipeline(transaction=False) as pipe:
            for record, attempt in jobs:
                keys, args = _putting(record, attempt)
                await put(keys, args, client=pipe)
            answers = await pipe.execute()
        counts: dict[str, int] = {}
        for (record, _), is_new in zip(jobs, answers, strict=True):
            if is_new:
                counts[record.request.model] = counts.get(record.request.model, 0) + 1
        for model, count in counts.items():
            await self._tickets.add(model, count)

    async def take(self, model: str, node: str) -> Taken | None:
        """As in ``Board``."""
        token = new_id()
        args = [names.JOB, node, token, self._lease_s, names.EVENTS, _KNOWN_S]
        answer = await self._link.run("take", names.model_keys(model), args)
        if answer is None:
            return None
        _, record, attempt, started_at = answer
        return Taken(unpack_record(record), int(attempt), token, float(started_at))

    async def renew(self, held: Sequence[Taken], node: str) -> frozenset[str]:
        """As in ``Board``."""
        renew = self._link.script("renew")
        async with self._link.reaching(), self._redis.pipeline(transaction=False) as pipe:
            for taken in held:
                await renew(_keys(taken.record), self._renewal(taken, node), client=pipe)
            answers = await pipe.execute()
        pairs = zip(held, answers, strict=True)
        return frozenset(taken.record.job_id for taken, ours in pairs if not ours)

    def _renewal(self, taken: Taken, node: str) -> list[Any]:
        record = taken.record
        home = names.home_channel(record.home)
        what = [record.job_id, taken.token, self._lease_s, pack(record), record.request.model]
        return [*what, repr(record.score), taken.attempt, node, repr(taken.started_at), home]

    async def tell(self, taken: Taken, news: News) -> None:
        """As in ``Board``."""
        job_id = taken.record.job_id
        keys = [names.job_key(job_id), names.events_key(job_id)]
        await self._link.run("tell", keys, [taken.token, _KNOWN_S, *_telling(news)])

    async def give_back(self, taken: Taken, delay_s: float, *, counts: bool) -> None:
        """As in ``Board``."""
        args = [taken.record.job_id, taken.token, repr(delay_s), int(counts)]
        keys = [*_keys(taken.record), names.events_key(taken.record.job_id)]
        if await self._link.run("give_back", keys, args):
            await self._tickets.add(taken.record.request.model, 1, delay_s, wake=True)

    async def finish(self, record: JobRecord, ending: Ending, token: str = "") -> bool:
        """As in ``Board``."""
        model = record.request.model
        more = [names.ended_key(record.home), names.events_key(record.job_id)]
        keys = [*_keys(record), *more, names.pace_key(model)]
        what = [record.job_id, pack(record), model, token, ending.state.value]
        how = [ending.error or "", ending.output or b"", max(1, int(record.shared_s))]
        channels = [names.home_channel(record.home), names.STOP_CHANNEL]
        args = [*what, *how, *channels, *_telling(ending.news)]
        return bool(await self._link.run("finish", keys, args))

    async def look(self, job_id: str) -> tuple[JobRecord, Standing] | None:
        """As in ``Board``."""
        args = [job_id, names.WAITING, "record", "progress", *_FIELDS]
        rank, record, progress, *fields = await self._link.run(
            "look", [names.job_key(job_id)], args
        )
        if record is None:
            return None
        standing = _standing(dict(zip(_FIELDS, fields, strict=True)), progress)
        return unpack_record(record), _at(standing, None if rank is None else int(rank) + 1)

    async def states(self, job_ids: Sequence[str]) -> list[Standing | None]:
        """As in ``Board``."""
        async with self._link.reaching(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(names.job_key(job_id), ["state", "attempt"])
            answers = await pipe.execute()
        return [
            None if state is None else Standing(JobState(state.decode()), int(attempt or 0))
            for state, attempt in answers
        ]

    async def end_of(self, job_id: str) -> tuple[JobRecord, Standing, bytes | None] | None:
        """As in ``Board``."""
        fields = ["record", "progress", "output", *_FIELDS]
        values = await self._link.ask(self._redis.hmget(names.job_key(job_id), fields))
        record, progress, output, *rest = values
        standing = _standing(dict(zip(_FIELDS, rest, strict=True)), progress)
        if record is None or not standing.state.ended:
            return None
        return unpack_record(record), standing, output

    async def output(self, job_id: str) -> bytes | None:
        """As in ``Board``."""
        found: bytes | None
        found = await self._link.ask(self._redis.hget(names.job_key(job_id), "output"))
        return found

    async def line(self, model: str) -> Line:
        """As in ``Board``."""
        waiting, _, leases = names.model_keys(model)
        async with self._link.reaching(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(waiting)
            pipe.zcard(leases)
            pipe.get(names.pace_key(model))
            count, running, pace = await pipe.execute()
        return Line(count, running, None if pace is None else float(pace))

    async def waited_s(self, model: str) -> float | None:
        """As in ``Board``."""
        waiting = names.model_keys(model)[0]
        async with self._link.reaching(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zrange(waiting, 0, 0)
            pipe.time()
            first, (now_s, _) = await pipe.execute()
        if not first:
            return None
        job = names.job_key(first[0].decode())
        since = await self._link.ask(self._redis.hget(job, "since"))
        return None if since is None else float(now_s) - float(since)

    async def waiting(self) -> Mapping[str, int]:
        """As in ``Board``."""
        found = await self._link.ask(self._redis.smembers(names.MODELS))
        models = sorted(name.decode() for name in found)
        async with self._link.reaching(), self._redis.pipeline(transaction=False) as pipe:
            for model in models:
                pipe.zcard(names.model_keys(model)[0])
            counts = await pipe.execute()
        return {model: count for model, count in zip(models, counts, strict=True) if count}

    async def events(self, job_id: str) -> AsyncGenerator[PartCame | Changed | None]:
        """As in ``Board``."""
        key = names.events_key(job_id)
        last: bytes | str = "0"
        while True:
            try:
                async with self._link.reaching():
                    answer = await self._redis.xread({key: last}, _READ_AT_ONCE, _SILENCE_MS)
            except QueueUnavailable:
                answer = None
                await asyncio.sleep(_TRY_AGAIN_S)
            for _, entries in answer or ():
                for entry_id, entry in entries:
                    last = entry_id
                    yield _event(entry)
            if not answer:
                yield None

    async def to_take_up(self, home: str, at_most: int) -> list[str]:
        """As in ``Board``."""
        async with self._link.reaching():
            found = await self._redis.zrange(names.ended_key(home), 0, at_most - 1)
        return [job_id.decode() for job_id in found]

    async def taken_up(self, home: str, job_ids: Iterable[str]) -> None:
        """As in ``Board``."""
        ids = list(job_ids)
        if ids:
            async with self._link.reaching():
                await self._redis.zrem(names.ended_key(home), *ids)

    async def announce(self, node: str, models: Iterable[str]) -> None:
        """As in ``Board``."""
        now_s = time.time()
        places = {f"{model}\n{node}": now_s for model in models}
        async with self._link.reaching(), self._redis.pipeline(transaction=False) as pipe:
            if places:
                pipe.zadd(names.TAKERS, places)
            pipe.zremrangebyscore(names.TAKERS, "-inf", now_s - _KNOWN_S)
            await pipe.execute()

    async def takers(self) -> Mapping[str, tuple[str, ...]]:
        """As in ``Board``."""
        async with self._link.reaching():
            places = await self._redis.zrange(names.TAKERS, 0, -1, withscores=True)
        present = time.time() - _PRESENT_S
        found: dict[str, tuple[str, ...]] = {}
        for place, said_s in places:
            model, _, node = place.decode().partition("\n")
            nodes = (node,) if said_s > present else ()
            found[model] = (*found.get(model, ()), *nodes)
        return found

    async def generation(self) -> str:
        """As in ``Board``: the server's run, and a mark that a flush takes away."""
        mark = f"{names.PREFIX}mark"
        async with self._link.reaching():
            await self._redis.set(mark, new_id(), nx=True)
            found = await self._redis.get(mark)
            info: dict[str, Any] = await self._redis.info("server")
        return f"{info.get('run_id')}:{(found or b'').decode()}"

    def signals(self, home: str) -> AsyncGenerator[Signal]:
        """As in ``Board``."""
        return signals(self._link, home)

    def pulling(self, pull: Pull, node: str) -> AbstractAsyncContextManager[None]:
        """As in ``Board``."""
        return self._tickets.pulling(pull, node)

    def wake(self, model: str) -> None:
        """As in ``Board``."""
        self._tickets.wake(model)


def _putting(record: JobRecord, attempt: int) -> tuple[list[str], list[Any]]:
    model = record.request.model
    keys = [names.job_key(record.job_id), names.model_keys(model)[0], names.MODELS]
    what: list[Any] = [record.job_id, pack(record), model, repr(record.score), attempt]
    return keys, [*what, names.home_channel(record.home), names.WAKE_CHANNEL]


def _telling(news: News) -> list[Any]:
    pairs = [text for pair in news.facts.items() for text in pair]
    return [news.keep, len(pairs), *pairs, *map(pack, news.parts)]


def _keys(record: JobRecord) -> list[str]:
    return [names.job_key(record.job_id), *names.model_keys(record.request.model)]


def _event(entry: Mapping[bytes, bytes]) -> PartCame | Changed:
    part = entry.get(b"p")
    event = None if part is None else unpack_event(part)
    if isinstance(event, PartCame):
        return event
    if b"state" not in entry:
        return Changed(over=entry.get(b"c") == b"over")
    fields = {name: entry.get(name.encode()) for name in _FIELDS}
    return Changed(run=_standing(fields, entry.get(b"progress")))


def _at(standing: Standing, position: int | None) -> Standing:
    return msgspec.structs.replace(standing, position=position)


def _standing(fields: Mapping[str, bytes | None], progress: bytes | None) -> Standing:
    text = {name: None if value is None else value.decode() for name, value in fields.items()}
    return Standing(
        state=JobState(text["state"] or JobState.QUEUED),
        attempt=int(text["attempt"] or 0),
        started_at=_number(text["started_at"]),
        ended_at=_number(text["ended_at"]),
        node=text["node"],
        device=text["device"],
        error=text["error"],
        degraded=text["degraded"],
        progress=_number(None if progress is None else progress.decode()),
    )


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
