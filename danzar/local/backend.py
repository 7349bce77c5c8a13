"""The one adapter over simcord: Discord's semantics, in real time and with walls.

simcord is written for tests: its clock is virtual and it keeps everything that ever happened.
Neither it nor its router is a public API, so nothing else imports it and
``tests/local/test_backend.py`` pins what is needed of the pinned version.
"""

import contextlib
import copy
import io
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import discord
from simcord import intents as _intents
from simcord import interactions as _interactions
from simcord._clock import Clock
from simcord.backend import Backend, serializers
from simcord.backend.access import message_accessible
from simcord.backend.errors import BackendError
from simcord.backend.models import Interaction, Message
from simcord.http import routes as _routes  # noqa: F401  (importing it registers the routes)
from simcord.http.router import dispatch

from danzar.local.blobs import BlobStore
from danzar.local.settings import Limits
from danzar.local.wire import Json

DISCORD_EPOCH_MS = 1_420_070_400_000
EMBED_PICTURES = ("image", "thumbnail", "video")
EMBED_ICONS = ("author", "footer")


Listener = Callable[[str, Mapping[str, Any]], None]
Whisper = Callable[[str, Mapping[str, Any], int | None], None]


class ApiError(Exception):
    """A request that Discord refuses.

    Attributes:
        status: HTTP status.
        payload: Body as Discord writes it: ``code`` and ``message``.
    """

    def __init__(self, status: int, payload: dict[str, Any]) -> None:
        super().__init__(f"{status} {payload.get('message')}")
        self.status = status
        self.payload = payload


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a multipart request, in the shape that simcord's routes read."""

    filename: str
    data: bytes
    description: str | None = None

    @property
    def fp(self) -> io.BytesIO:
        """A fresh reader at the start of the file."""
        return io.BytesIO(self.data)


@dataclass(frozen=True, slots=True)
class Call:
    """One REST request of the bot, as decoded from HTTP."""

    method: str
    path: str
    body: Json = None
    params: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Upload] = ()
    reason: str | None = None


class RealClock(Clock):
    """Wall-clock time; simcord's own begins in January 2026 and stands still."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Nothing: real time advances by itself."""


class LocalBackend(Backend):
    """simcord's in-memory Discord, kept in bounds.

    Attributes:
        whispers: Called for each message that only one person may see, which the gateway
            never announces: event, payload, and that person's id.
    """

    _last_id = 0

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        super().__init__(clock=RealClock())
        self.whispers: list[Whisper] = []
        self.blobs = BlobStore(limits.stored_bytes)
        loose = cast("Any", self)
        loose.cdn = self.blobs
        loose.transcript = deque(maxlen=limits.log_entries)
        loose.http_requests = deque(maxlen=limits.log_entries)

    def snowflake(self) -> int:
        """A new id that sorts by time. Unlike simcord's it remembers the last one only."""
        now_ms = int(self.clock.now().timestamp() * 1000) - DISCORD_EPOCH_MS
        self._last_id = max(self._last_id + 1, now_ms << 22)
        return self._last_id

    def emit(self, event: str, payload: Mapping[str, Any]) -> None:
        """Announce an event to all listeners."""
        if event == "TYPING_START":
            payload = {**payload, "timestamp": int(self.clock.now().timestamp())}
        super().emit(event, payload)

    def commit_message(self, message: Message, *, broadcast: bool = True) -> Message:
        """Store and announce a message, and forget the oldest of a full channel."""
        message.embeds = link_embed_pictures(message.embeds, message.attachments)
        stored = super().commit_message(message, broadcast=broadcast)
        self._forget_oldest(message.channel_id)
        self._whisper("MESSAGE_CREATE", stored)
        return stored

    def edit_message(self, channel_id: int, message_id: int, fields: dict[str, Any]) -> Message:
        """Change a message; files that it no longer shows are forgotten."""
        before = self.get_message(channel_id, message_id)
        shown_before = {a["url"] for a in before.attachments}
        if fields.get("embeds"):
            attachments = fields.get("attachments", before.attachments) or []
            fields = {**fields, "embeds": link_embed_pictures(fields["embeds"], attachments)}
        message = super().edit_message(channel_id, message_id, fields)
        self._drop_files(shown_before - {a["url"] for a in message.attachments})
        self._whisper("MESSAGE_UPDATE", message)
        return message

    def delete_message(self, channel_id: int, message_id: int) -> None:
        """Remove a message and its files."""
        message = self.get_message(channel_id, message_id)
        super().delete_message(channel_id, message_id)
        self._drop_files(a["url"] for a in message.attachments)
        if message.is_ephemeral:
            payload = {"id": str(message_id), "channel_id": str(channel_id)}
            self._tell("MESSAGE_DELETE", payload, viewer_of(message))

    def new_interaction(
        self, type: int, channel_id: int, user_id: int, guild_id: int | None
    ) -> Interaction:
        """Open an interaction under a token that can't be guessed, and forget expired ones."""
        self._forget_expired_interactions()
        record = super().new_interaction(type, channel_id, user_id, guild_id)
        del self.interaction_tokens[record.token]
        record.token = secrets.token_urlsafe(48)
        self.interaction_tokens[record.token] = record.id
        return record

    def _whisper(self, event: str, message: Message) -> None:
        if message.is_ephemeral:
            payload = dict(serializers.message_payload(self, message))
            self._tell(event, payload, viewer_of(message))

    def _tell(self, event: str, payload: Mapping[str, Any], viewer_id: int | None) -> None:
        for whisper in self.whispers:
            whisper(event, payload, viewer_id)

    def _forget_oldest(self, channel_id: int) -> None:
        store = self.messages[channel_id]
        while len(store) > self.limits.messages_per_channel:
            oldest = store.pop(next(iter(store)))
            self._drop_files(a["url"] for a in oldest.attachments)

    def _drop_files(self, urls: Iterable[str]) -> None:
        for url in urls:
            self.blobs.drop(url)

    def _forget_expired_interactions(self) -> None:
        now = self.now_iso()
        expired = [r for r in self.interactions.values() if (r.expires_at or now) <= now]
        for record in expired:
            del self.interactions[record.id]
            self.interaction_tokens.pop(record.token, None)


def viewer_of(message: Message) -> int | None:
    """Id of the one person who may see an ephemeral message."""
    user = (message.interaction_metadata or {}).get("user") or {}
    return int(user["id"]) if "id" in user else None


def link_embed_pictures(
    embeds: list[dict[str, Any]], attachments: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Embeds with each ``attachment://name`` replaced by that attachment's URL and size."""
    by_reference = {f"attachment://{a['filename']}": a for a in attachments}
    linked = copy.deepcopy(embeds)
    for embed in linked:
        embed.setdefault("type", "rich")
        for name in EMBED_PICTURES:
            _link(embed.get(name), "url", by_reference, ("width", "height"))
        for name in EMBED_ICONS:
            _link(embed.get(name), "icon_url", by_reference, ())
    return linked


def _link(
    part: Json, key: str, by_reference: dict[str, dict[str, Any]], sizes: tuple[str, ...]
) -> None:
    attachment = by_reference.get(str(part.get(key))) if isinstance(part, dict) else None
    if attachment is not None:
        part[key] = attachment["url"]
        part.update({size: attachment[size] for size in sizes if size in attachment})


def call_api(backend: LocalBackend, call: Call) -> Json:
    """Carry out one REST request of the bot and return the answer's body.

    Raises:
        ApiError: Discord would refuse it, or simcord has no such route (status 501).
    """
    try:
        return dispatch(
            backend,
            call.method,
            call.path,
            json=call.body,
            params=dict(call.params),
            files=list(call.files),
            reason=call.reason,
        )
    except BackendError as exc:
        raise ApiError(exc.status, exc.to_json()) from exc
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        # simcord's routes index into the body; what trips over them is a malformed request.
        detail = f"Invalid Form Body: {type(exc).__name__}: {exc}"
        raise ApiError(400, {"code": 50035, "message": detail}) from exc


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn simcord's refusals into ours."""
    try:
        yield
    except BackendError as exc:
        raise ApiError(exc.status, exc.to_json()) from exc


def projected(
    backend: LocalBackend, event: str, payload: Mapping[str, Any], intents: discord.Intents
) -> dict[str, Any] | None:
    """The event as a bot with these intents receives it, or ``None`` when it does not."""
    gate = _intents.required_intent(event, payload)
    if gate is not None and not getattr(intents, gate):
        return None
    own = copy.deepcopy(dict(payload))
    bot_id = backend.bot_user.id
    if event == "GUILD_CREATE":
        _intents.prune_guild_create(own, intents, bot_id)
    if not intents.message_content:
        _hide_content(backend, event, own, bot_id)
    return own


def _hide_content(backend: LocalBackend, event: str, payload: dict[str, Any], bot_id: int) -> None:
    """Blank what Discord shows only with the message content intent."""
    if event in {"MESSAGE_CREATE", "MESSAGE_UPDATE"}:
        _intents.censor_message(payload, bot_id, backend=backend)
    elif event == "INTERACTION_CREATE":
        # The message that a person clicked, or chose in the menu, is shown in any case.
        if isinstance(payload.get("message"), dict):
            _intents.censor_message(payload["message"], bot_id, backend=backend, exempt_root=True)
        data = payload.get("data") or {}
        for message in ((data.get("resolved") or {}).get("messages") or {}).values():
            _intents.censor_message(message, bot_id, backend=backend, exempt_root=True)


def open_interaction(
    backend: LocalBackend,
    *,
    kind: int,
    channel_id: int,
    user_id: int,
    data: dict[str, Any],
    source_message_id: int | None = None,
) -> Interaction:
    """Record that a person used a command or a component, and tell the bot.

    Raises:
        ApiError: The message that was clicked is gone.
    """
    with _refusals():
        channel = backend.get_channel(channel_id)
        extra: dict[str, Any] = {}
        if source_message_id is not None:
            source = backend.get_message(channel_id, source_message_id)
            extra["message"] = dict(serializers.message_payload(backend, source))
        record, payload = _interactions.base_payload(
            backend,
            type=kind,
            channel_id=channel_id,
            guild_id=channel.guild_id,
            user_id=user_id,
            data=data,
        )
    record.source_message_id = source_message_id
    extra["attachment_size_limit"] = backend.limits.bot_upload_bytes
    backend.emit("INTERACTION_CREATE", {**payload, **extra})
    return record


def post_as_person(
    backend: LocalBackend,
    channel_id: int,
    user_id: int,
    content: str,
    files: list[Upload],
    reply_to: int | None = None,
) -> dict[str, Any]:
    """Store what a person wrote and announce it.

    Raises:
        ApiError: The channel or the quoted message is gone, or the person may not write here.
    """
    reference = None if reply_to is None else {"message_id": str(reply_to)}
    with _refusals():
        guild_id = backend.get_channel(channel_id).guild_id
        backend.require_permissions(guild_id, user_id, channel_id, "send_messages")
        attachments = backend.store_attachments(channel_id, [(f.filename, f.data) for f in files])
        message = backend.create_message(
            channel_id, user_id, content, attachments=attachments, reference=reference
        )
    return dict(serializers.message_payload(backend, message))


def recent_messages(
    backend: LocalBackend, channel_id: int, user_id: int, limit: int
) -> list[dict[str, Any]]:
    """The newest messages that this person may see, oldest first."""
    stored = list(backend.messages.get(channel_id, {}).values())
    seen = [m for m in stored if message_accessible(backend, channel_id, m, user_id, history=True)]
    return [dict(serializers.message_payload(backend, m, for_user=user_id)) for m in seen[-limit:]]


def visible_commands(
    backend: LocalBackend, channel_id: int, user_id: int, kind: int
) -> list[dict[str, Any]]:
    """Registered commands of one kind that this person may use in this channel."""
    with _refusals():
        return backend.visible_commands(user_id=user_id, channel_id=channel_id, type=kind)


def message_payload(backend: LocalBackend, channel_id: int, message_id: int) -> dict[str, Any]:
    """A message as Discord's API shows one.

    Raises:
        ApiError: It is gone.
    """
    with _refusals():
        return dict(
            serializers.message_payload(backend, backend.get_message(channel_id, message_id))
        )


def react_as_person(
    backend: LocalBackend, channel_id: int, message_id: int, emoji: str, user_id: int
) -> None:
    """Add the person's reaction, or take it back when it is there.

    Raises:
        ApiError: The message is gone.
    """
    with _refusals():
        present = backend.get_message(channel_id, message_id).reaction_for(emoji)
        reacted = present is not None and user_id in present.user_ids
        backend.set_reaction(channel_id, message_id, emoji, user_id, not reacted)


def delete_as_person(backend: LocalBackend, channel_id: int, message_id: int, user_id: int) -> None:
    """Delete a message that the person wrote, or may manage.

    Raises:
        ApiError: It is gone, or belongs to someone else.
    """
    with _refusals():
        message = backend.get_message(channel_id, message_id)
        own = message.author_id == user_id or viewer_of(message) == user_id
        if not own:
            guild_id = backend.get_channel(channel_id).guild_id
            backend.require_permissions(guild_id, user_id, channel_id, "manage_messages")
        backend.delete_message(channel_id, message_id)


def user_payload(backend: LocalBackend, user_id: int) -> dict[str, Any]:
    """A user as Discord's API shows one."""
    return dict(serializers.user_payload(backend.get_user(user_id)))


def member_payloads(backend: LocalBackend, guild_id: int) -> list[dict[str, Any]]:
    """All members of a guild; empty when there is no such guild."""
    guild = backend.guilds.get(guild_id)
    if guild is None:
        return []
    return [dict(serializers.member_payload(backend, guild, m)) for m in guild.members.values()]


def guild_payload(backend: LocalBackend, guild_id: int) -> dict[str, Any]:
    """A guild as GUILD_CREATE carries it."""
    return dict(serializers.guild_create_payload(backend, backend.get_guild(guild_id)))


def channel_payload(backend: LocalBackend, channel_id: int) -> dict[str, Any]:
    """A channel as Discord's API shows one."""
    return dict(serializers.channel_payload(backend, backend.get_channel(channel_id)))
