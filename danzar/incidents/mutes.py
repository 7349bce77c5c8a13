"""Which troubles are muted, and until when; kept in the database."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from danzar.incidents.record import IncidentRecord, Mute, with_mute
from danzar.incidents.store import IncidentStore


class Mutes:
    """At most one mute for each key."""

    def __init__(
        self,
        store: IncidentStore,
        now: Callable[[], datetime],
        is_open: Callable[[int], bool],
    ) -> None:
        """Begin with none.

        Args:
            store: Where they are kept.
            now: Aware, UTC.
            is_open: Whether the incident with this number lasts.
        """
        self._store = store
        self._now = now
        self._is_open = is_open
        self._by_key: dict[str, Mute] = {}

    @property
    def all(self) -> tuple[Mute, ...]:
        """What is muted now."""
        return tuple(mute for mute in self._by_key.values() if self._lasts(mute))

    def restore(self, mutes: Iterable[Mute]) -> None:
        """Go on with those of an earlier run."""
        self._by_key = {mute.key: mute for mute in mutes}

    async def add(self, mute: Mute) -> None:
        """Mute, in place of what was muted under this key.

        Raises:
            StoreFailed: It can't be kept; nothing changed.
        """
        await self._store.save_mute(mute)
        self._by_key[mute.key] = mute

    async def remove(self, key: str) -> None:
        """Let a trouble be heard again.

        Raises:
            StoreFailed: It can't be kept; nothing changed.
        """
        await self._store.delete_mute(key)
        self._by_key.pop(key, None)

    def drop_expired(self) -> Collection[str]:
        """Forget those that are over; their keys. The database forgets them when there are many."""
        gone = [key for key, mute in self._by_key.items() if not self._lasts(mute)]
        for key in gone:
            del self._by_key[key]
        return gone

    def covers(self, key: str) -> bool:
        """Whether a trouble is muted now, be it there or not."""
        mute = self._by_key.get(key)
        return mute is not None and self._lasts(mute)

    def mark(self, record: IncidentRecord) -> IncidentRecord:
        """The record as it is muted or not."""
        mute = self._by_key.get(record.key) if record.is_open else None
        return with_mute(record, mute if mute and self._lasts(mute) else None)

    def _lasts(self, mute: Mute) -> bool:
        return self._is_open(mute.number) if mute.until is None else self._now() < mute.until
