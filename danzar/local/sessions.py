"""A bot's gateway session: numbered events, the last of which can be sent again."""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any

import discord

from danzar.local.backend import LocalBackend, projected

DISPATCH = 0


class Session:
    """What one IDENTIFY began. It outlives its socket for a while, so that a bot can resume.

    Attributes:
        lost_at_s: Monotonic seconds since when no socket serves it; ``None`` while one does.
        changed: Set whenever an event was added or the session was taken over.
        epoch: Counts the sockets that served it; a socket of an older epoch must close.
    """

    def __init__(self, intents: discord.Intents, replay_events: int) -> None:
        self.id = secrets.token_hex(16)
        self.intents = intents
        self.lost_at_s: float | None = None
        self.changed = asyncio.Event()
        self.epoch = 0
        self._sequence = 0
        self._events: deque[tuple[int, str]] = deque(maxlen=replay_events)

    @property
    def sequence(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._sequence

    def publish(self, event: str, payload: Mapping[str, Any]) -> None:
        """Number an event and keep it until enough newer ones came."""
        self._sequence += 1
        frame = {"op": DISPATCH, "t": event, "s": self._sequence, "d": payload}
        self._events.append((self._sequence, json.dumps(frame)))
        self.changed.set()

    def has_all_after(self, sequence: int) -> bool:
        """Whether every event after ``sequence`` is still kept."""
        if not 0 <= sequence <= self._sequence:
            return False
        oldest = self._events[0][0] if self._events else self._sequence + 1
        return sequence >= oldest - 1

    def after(self, sequence: int) -> list[tuple[int, str]]:
        """Kept events with a higher number, oldest first."""
        return [event for event in self._events if event[0] > sequence]

    def take_over(self) -> int:
        """Serve the session from a new socket; return the epoch that this socket has."""
        self.epoch += 1
        self.lost_at_s = None
        self.changed.set()
        return self.epoch


class SessionBook:
    """All sessions of the bot; feeds each with the events that its intents let through."""

    MAX_SESSIONS = 8

    def __init__(self, backend: LocalBackend, replay_events: int, keep_s: float) -> None:
        self._backend = backend
        self._replay_events = replay_events
        self._keep_s = keep_s
        self._sessions: dict[str, Session] = {}
        backend.subscribers.append(self._announce)

    def begin(self, intents: discord.Intents, now_s: float) -> Session:
        """Start a session; expired ones, and the oldest of too many, end."""
        self._end_expired(now_s)
        while len(self._sessions) >= self.MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = Session(intents, self._replay_events)
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str, sequence: int, now_s: float) -> Session | None:
        """The session to resume, or ``None`` when it ended or too many events passed since."""
        self._end_expired(now_s)
        session = self._sessions.get(session_id)
        return session if session is not None and session.has_all_after(sequence) else None

    def end(self, session: Session) -> None:
        """Forget a session that its bot closed properly."""
        self._sessions.pop(session.id, None)

    @property
    def online(self) -> bool:
        """Whether any session has a socket now."""
        return any(s.lost_at_s is None for s in self._sessions.values())

    def _announce(self, event: str, payload: Mapping[str, Any]) -> None:
        for session in self._sessions.values():
            own = projected(self._backend, event, payload, session.intents)
            if own is not None:
                session.publish(event, own)

    def _end_expired(self, now_s: float) -> None:
        oldest = now_s - self._keep_s
        lost = [s for s in self._sessions.values() if s.lost_at_s is not None]
        for session in lost:
            if session.lost_at_s is not None and session.lost_at_s < oldest:
                self.end(session)
