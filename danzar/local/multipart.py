"""Multipart bodies, with a wall around each file."""

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from danzar.local.backend import ApiError, Upload
from danzar.local.wire import Json
from danzar.units import MIB

MAX_TEXT_BYTES = 1 * MIB
DRAIN_FACTOR = 8
"""A body this many times the limit is no longer read to its end; the connection is cut."""

TOO_LARGE = {"code": 40005, "message": "Request entity too large"}


@dataclass(slots=True)
class Form:
    """The parts of one multipart body: texts by name, files with the name of their field."""

    texts: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)


async def read_form(request: web.Request, file_limit_bytes: int, files_limit: int) -> Form:
    """Read a multipart body.

    A file that is too large is read to its end first: a client that is still sending would
    see a cut connection in place of the answer.

    Raises:
        ApiError: A file is too large (413), there are too many, or the body is malformed (400).
    """
    form = Form()
    too_large = False
    budget_bytes = file_limit_bytes * DRAIN_FACTOR
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise malformed("nested multipart bodies are not accepted")
            limit = file_limit_bytes if part.filename else MAX_TEXT_BYTES
            data, size = await _read_part(part, limit, budget_bytes)
            budget_bytes -= size
            too_large = too_large or size > limit
            _add(form, part, data)
    except (ValueError, AssertionError) as exc:
        raise malformed(f"multipart: {exc}") from exc
    if too_large:
        raise ApiError(413, TOO_LARGE)
    if len(form.files) > files_limit:
        raise malformed(f"at most {files_limit} files in one message, got {len(form.files)}")
    return form


async def _read_part(part: BodyPartReader, limit: int, budget_bytes: int) -> tuple[bytes, int]:
    """The part's first ``limit`` bytes and its whole size."""
    kept = bytearray()
    size = 0
    while chunk := await part.read_chunk(256 * 1024):
        size += len(chunk)
        if size <= limit:
            kept += chunk
        if size > budget_bytes:
            raise ApiError(413, TOO_LARGE)
    return bytes(kept), size


def _add(form: Form, part: BodyPartReader, data: bytes) -> None:
    name = part.name or ""
    if part.filename:
        form.files.append((name, part.filename, data))
    else:
        form.texts[name] = data.decode("utf-8", "replace")


def malformed(detail: str) -> ApiError:
    """The error that Discord gives for a body it can't use."""
    return ApiError(400, {"code": 50035, "message": f"Invalid Form Body: {detail}"})


def bot_request(form: Form) -> tuple[Any, list[Upload]]:
    """The JSON body and the files of a bot's multipart request.

    Raises:
        ApiError: ``payload_json`` is no JSON.
    """
    texts = dict(form.texts)
    raw = texts.pop("payload_json", None)
    try:
        body: Json = texts if raw is None else json.loads(raw)
    except ValueError as exc:
        raise malformed("payload_json is no JSON") from exc
    holder = body.get("data", body) if isinstance(body, dict) else {}
    described = _descriptions(holder.get("attachments") if isinstance(holder, dict) else None)
    uploads = [
        Upload(filename, data, described.get(name.removeprefix("files[").removesuffix("]")))
        for name, filename, data in form.files
    ]
    return body, uploads


def _descriptions(attachments: Json) -> dict[str, str]:
    items = attachments if isinstance(attachments, list) else []
    return {
        str(item["id"]): str(item["description"])
        for item in items
        if isinstance(item, dict) and item.get("id") is not None and item.get("description")
    }
