"""Answers to REQUEST_GUILD_MEMBERS."""

from collections.abc import Iterator
from typing import Any

from danzar.local.backend import LocalBackend, member_payloads
from danzar.local.wire import Json

CHUNK_MEMBERS = 1000


def member_chunks(backend: LocalBackend, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the GUILD_MEMBERS_CHUNK payloads that answer one request, at least one."""
    guild_id = int(request["guild_id"])
    members = member_payloads(backend, guild_id)
    wanted = _wanted_ids(request.get("user_ids"))
    chosen = _choose(members, wanted, str(request.get("query") or ""))
    limit = int(request.get("limit") or 0)
    chosen = chosen[:limit] if limit else chosen
    known = {m["user"]["id"] for m in members}
    parts = [chosen[i : i + CHUNK_MEMBERS] for i in range(0, len(chosen), CHUNK_MEMBERS)] or [[]]
    for index, part in enumerate(parts):
        chunk: dict[str, Any] = {
            "guild_id": str(guild_id),
            "members": part,
            "chunk_index": index,
            "chunk_count": len(parts),
        }
        if wanted:
            chunk["not_found"] = sorted(wanted - known)
        if request.get("presences"):
            chunk["presences"] = []
        if request.get("nonce"):
            chunk["nonce"] = request["nonce"]
        yield chunk


def _wanted_ids(user_ids: Json) -> set[str]:
    if not user_ids:
        return set()
    return {str(u) for u in user_ids} if isinstance(user_ids, list) else {str(user_ids)}


def _choose(members: list[dict[str, Any]], wanted: set[str], query: str) -> list[dict[str, Any]]:
    if wanted:
        return [m for m in members if m["user"]["id"] in wanted]
    prefix = query.casefold()
    return [
        m
        for m in members
        if m["user"]["username"].casefold().startswith(prefix)
        or (m["nick"] or "").casefold().startswith(prefix)
    ]
