"""What the page's buttons do: post, type, use commands and components."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from danzar.local.backend import (
    ApiError,
    Upload,
    delete_as_person,
    message_payload,
    post_as_person,
    react_as_person,
    visible_commands,
)
from danzar.local.cdn import file_response, list_frames, read_frame
from danzar.local.feed import Feed
from danzar.local.guard import Handler, require_page
from danzar.local.hello import hello
from danzar.local.interactions import Interactions
from danzar.local.multipart import Form, malformed, read_form
from danzar.local.rest import json_response
from danzar.local.settings import LocalSettings
from danzar.local.wire import Json
from danzar.local.world import World

SLASH, MESSAGE_MENU = 1, 3
MAX_CONTENT = 2000

Action = Callable[["PageRequest"], Awaitable[Json]]


class PageRequest:
    """One action of a person: the JSON part of the form, and its files."""

    def __init__(self, form: Form, people: tuple[int, ...]) -> None:
        try:
            body = json.loads(form.texts.get("json", ""))
        except ValueError as exc:
            raise malformed("the field json is no JSON") from exc
        if not isinstance(body, dict):
            raise malformed("the field json is no object")
        self.body: dict[str, Any] = body
        self.files = form.files
        self.user_id = self.number("user_id")
        if self.user_id not in people:
            raise malformed("user_id is none of the people at this page")

    def number(self, key: str) -> int:
        """An id or number.

        Raises:
            ApiError: It is missing or no number.
        """
        try:
            return int(str(self.body[key]))
        except (KeyError, ValueError) as exc:
            raise malformed(f"{key} must be an id") from exc

    def text(self, key: str) -> str:
        """A text; empty when it is missing."""
        return str(self.body.get(key) or "")


class PageApi:
    """Acts for the people of the world, for requests of the own page only."""

    def __init__(
        self, settings: LocalSettings, world: World, feed: Feed, interactions: Interactions
    ) -> None:
        self._settings = settings
        self._world = world
        self._feed = feed
        self._interactions = interactions

    def routes(self) -> list[web.RouteDef]:
        """All routes of the page but its files."""
        return [
            web.get("/page/feed", self.feed),
            web.get("/page/commands", self.commands),
            web.get("/page/frames/{name}", self.frame),
            web.post("/page/messages", self._action(self.post_message)),
            web.post("/page/delete", self._action(self.delete_message)),
            web.post("/page/typing", self._action(self.typing)),
            web.post("/page/reactions", self._action(self.react)),
            web.post("/page/command", self._action(self.use_command)),
            web.post("/page/menu", self._action(self.use_menu)),
            web.post("/page/component", self._action(self.use_component)),
            web.post("/page/modal", self._action(self.submit_modal)),
            web.post("/page/autocomplete", self._action(self.autocomplete)),
        ]

    async def feed(self, request: web.Request) -> web.WebSocketResponse:
        """Everything that happens, until the page goes."""
        require_page(request)
        frames = await asyncio.to_thread(list_frames, self._settings.assets_dir)
        greeting = hello(self._settings, self._world, frames)
        greeting["bot"]["online"] = self._interactions.bot_online()
        return await self._feed.serve(request, greeting)

    async def commands(self, request: web.Request) -> web.Response:
        """Slash and message commands that a person may use in a channel."""
        try:
            channel_id, user_id = int(request.query["channel"]), int(request.query["user"])
            found = {
                kind: visible_commands(self._world.backend, channel_id, user_id, number)
                for kind, number in (("slash", SLASH), ("menu", MESSAGE_MENU))
            }
        except (KeyError, ValueError, ApiError):
            raise web.HTTPBadRequest(text="channel and user must be known ids") from None
        return json_response(found)

    async def frame(self, request: web.Request) -> web.Response:
        """One sample frame."""
        name = request.match_info["name"]
        return file_response(await read_frame(self._settings.assets_dir, name), name)

    async def post_message(self, request: PageRequest) -> Json:
        """Post a message with its files."""
        content = request.text("content")
        if len(content) > MAX_CONTENT:
            raise malformed(f"a message has at most {MAX_CONTENT} characters, got {len(content)}")
        if not content.strip() and not request.files:
            raise ApiError(400, {"code": 50006, "message": "Cannot send an empty message"})
        reply_to = request.number("reply_to") if request.body.get("reply_to") else None
        uploads = [Upload(filename, data) for _, filename, data in request.files]
        channel_id = request.number("channel_id")
        return post_as_person(
            self._world.backend, channel_id, request.user_id, content, uploads, reply_to
        )

    async def delete_message(self, request: PageRequest) -> Json:
        """Delete a message, or dismiss one that only this person sees."""
        ids = request.number("channel_id"), request.number("message_id")
        delete_as_person(self._world.backend, *ids, request.user_id)
        return {}

    async def typing(self, request: PageRequest) -> Json:
        """Show the bot and other pages that someone types."""
        channel_id = request.number("channel_id")
        payload = {"channel_id": str(channel_id), "user_id": str(request.user_id), "timestamp": 0}
        if channel_id in self._world.channel_ids.values():
            payload["guild_id"] = str(self._world.guild_id)
        self._world.backend.emit("TYPING_START", payload)
        return {}

    async def react(self, request: PageRequest) -> Json:
        """Add a reaction, or take it back."""
        ids = request.number("channel_id"), request.number("message_id")
        react_as_person(self._world.backend, *ids, request.text("emoji")[:64], request.user_id)
        return {}

    async def use_command(self, request: PageRequest) -> Json:
        """Use a slash command."""
        return self._interactions.slash(
            channel_id=request.number("channel_id"),
            user_id=request.user_id,
            command_id=request.text("command_id"),
            path=[str(p) for p in request.body.get("path") or []],
            given=dict(request.body.get("options") or {}),
            files={name: Upload(filename, data) for name, filename, data in request.files},
        )

    async def use_menu(self, request: PageRequest) -> Json:
        """Use a command of a message's context menu."""
        channel_id, message_id = request.number("channel_id"), request.number("message_id")
        message = message_payload(self._world.backend, channel_id, message_id)
        return self._interactions.menu(
            channel_id, request.user_id, request.text("command_id"), message
        )

    async def use_component(self, request: PageRequest) -> Json:
        """Click a button, or choose in a menu."""
        channel_id, message_id = request.number("channel_id"), request.number("message_id")
        message = message_payload(self._world.backend, channel_id, message_id)
        values = request.body.get("values")
        chosen = [str(v) for v in values] if isinstance(values, list) else None
        return self._interactions.component(
            channel_id, request.user_id, request.text("custom_id"), message, chosen
        )

    async def submit_modal(self, request: PageRequest) -> Json:
        """Send a form that the bot had opened."""
        values = dict(request.body.get("values") or {})
        interaction_id = request.number("interaction_id")
        return self._interactions.submit_modal(interaction_id, request.user_id, values)

    async def autocomplete(self, request: PageRequest) -> Json:
        """Ask the bot what an option could be."""
        return await self._interactions.autocomplete(
            channel_id=request.number("channel_id"),
            user_id=request.user_id,
            command_id=request.text("command_id"),
            path=[str(p) for p in request.body.get("path") or []],
            given=dict(request.body.get("options") or {}),
            focused=request.text("focused"),
        )

    def _action(self, act: Action) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            require_page(request)
            limits = self._settings.limits
            try:
                form = await read_form(
                    request, limits.person_upload_bytes, limits.files_per_message
                )
                answer = await act(PageRequest(form, self._world.people))
            except ApiError as exc:
                return json_response(exc.payload, status=exc.status)
            return json_response(answer)

        return handle
