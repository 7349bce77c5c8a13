"""All that a page needs when it opens. Read-only."""

from typing import Any

from danzar.local.backend import channel_payload, guild_payload, recent_messages, user_payload
from danzar.local.settings import LocalSettings
from danzar.local.world import World

HISTORY = 100


def hello(settings: LocalSettings, world: World, frames: list[str]) -> dict[str, Any]:
    """People, channels with their newest messages, sample frames and limits."""
    backend = world.backend
    guild = guild_payload(backend, world.guild_id)
    bot = user_payload(backend, backend.bot_user.id)
    return {
        "guild": {"id": guild["id"], "name": guild["name"]},
        "bot": {"id": bot["id"], "name": bot["username"], "online": False},
        "people": [_person(world, user_id) for user_id in world.people],
        "roles": [{"id": r["id"], "name": r["name"]} for r in guild["roles"]],
        "channels": [_channel(world, i) for i in world.channel_ids.values()],
        "direct": [
            {**_channel(world, i), "person_id": str(p)} for p, i in world.dm_channel_ids.items()
        ],
        "frames": frames,
        "has_status": settings.status_url is not None,
        "limits": {
            "upload_bytes": settings.limits.person_upload_bytes,
            "files": settings.limits.files_per_message,
        },
    }


def _person(world: World, user_id: int) -> dict[str, Any]:
    user = user_payload(world.backend, user_id)
    is_operator = user_id == world.person_id
    return {"id": user["id"], "name": user["global_name"], "operator": is_operator}


def _channel(world: World, channel_id: int) -> dict[str, Any]:
    channel = channel_payload(world.backend, channel_id)
    own = {p: recent_messages(world.backend, channel_id, p, HISTORY) for p in world.people}
    seen = {m["id"]: _marked(m, p) for p, messages in own.items() for m in messages}
    return {
        "id": channel["id"],
        "name": channel.get("name"),
        "topic": channel.get("topic"),
        "messages": [seen[i] for i in sorted(seen, key=int)],
    }


def _marked(message: dict[str, Any], person_id: int) -> dict[str, Any]:
    """The message, with whom it is for when only one person sees it."""
    ephemeral = int(message.get("flags") or 0) & (1 << 6)
    return {**message, "viewer_id": str(person_id)} if ephemeral else message
