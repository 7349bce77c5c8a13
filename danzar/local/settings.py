"""What a local Discord can be told."""

from dataclasses import dataclass
from pathlib import Path

from danzar.units import MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Walls that keep a server that runs for weeks from growing.

    Attributes:
        messages_per_channel: Older messages are forgotten, with their attachments.
        stored_bytes: All attachments together; the oldest go first.
        bot_upload_bytes: Largest file that a bot may upload, as on Discord without boosts.
        person_upload_bytes: Largest file that a person may post from the page.
        files_per_message: Most attachments of one message.
        log_entries: Requests and events kept for whoever debugs.
        replay_events: Events a bot may miss and still resume its session.
        session_keep_s: Seconds that a session without a socket can be resumed.
        feed_events: Events that a slow page may lag behind before it must reload.
    """

    messages_per_channel: int = 200
    stored_bytes: int = 64 * MIB
    bot_upload_bytes: int = 10 * MIB
    person_upload_bytes: int = 64 * MIB
    files_per_message: int = 10
    log_entries: int = 200
    replay_events: int = 1000
    session_keep_s: float = 120.0
    feed_events: int = 1000


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How to run one local Discord. It listens on loopback only.

    Attributes:
        token: What the bot must send; a wrong one is refused as Discord refuses it.
        port: TCP port; 0 picks a free one.
        status_url: Base of the bot's own HTTP interface, for the panel of cards; ``None`` for none.
        assets_dir: Folder whose ``frames`` hold sample pictures; ``None`` for none.
        heartbeat_interval_s: How often the bot must send a heartbeat.
    """

    token: str
    port: int = 0
    status_url: str | None = None
    assets_dir: Path | None = None
    heartbeat_interval_s: float = 41.25
    limits: Limits = Limits()
