"""Commands and components that people use, and what becomes of them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from danzar.local.backend import (
    ApiError,
    LocalBackend,
    Upload,
    guild_payload,
    open_interaction,
    visible_commands,
)
from danzar.local.commands import CHANNEL, MENTIONABLE, ROLE, USER, Invocation, invoke
from danzar.local.feed import Feed
from danzar.local.modals import fields_of, filled
from danzar.local.multipart import malformed
from danzar.local.world import World

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
SLASH, MESSAGE_MENU = 1, 3
BUTTON, STRING_SELECT = 2, 3
ANSWER_WITHIN_S = 3.0
CHOICES_PERIOD_S = 0.05


class Interactions:
    """Opens interactions, and tells the pages about those that the bot did not answer."""

    def __init__(self, world: World, feed: Feed, bot_online: Callable[[], bool]) -> None:
        self._world = world
        self._feed = feed
        self.bot_online = bot_online

    @property
    def _backend(self) -> LocalBackend:
        return self._world.backend

    def slash(
        self,
        *,
        channel_id: int,
        user_id: int,
        command_id: str,
        path: list[str],
        given: Mapping[str, Any],
        files: Mapping[str, Upload],
    ) -> dict[str, Any]:
        """Use a slash command.

        Raises:
            ApiError: It is unknown here, an option is wrong, or the bot is offline.
        """
        command = self._command(channel_id, user_id, command_id, SLASH)
        invocation = invoke(command, path, given, files)
        resolved = self._resolve(channel_id, invocation)
        data = {**_head(command, SLASH), "options": invocation.options, "resolved": resolved}
        title = "/" + " ".join([command["name"], *path])
        return self._open(COMMAND, channel_id, user_id, data, title=title)

    def menu(
        self, channel_id: int, user_id: int, command_id: str, message: dict[str, Any]
    ) -> dict[str, Any]:
        """Use a message command on ``message``.

        Raises:
            ApiError: It is unknown here, or the bot is offline.
        """
        command = self._command(channel_id, user_id, command_id, MESSAGE_MENU)
        resolved = {"messages": {message["id"]: message}}
        data = {
            **_head(command, MESSAGE_MENU),
            "target_id": message["id"],
            "resolved": resolved,
        }
        return self._open(COMMAND, channel_id, user_id, data, title=command["name"])

    def component(
        self,
        channel_id: int,
        user_id: int,
        custom_id: str,
        message: dict[str, Any],
        values: list[str] | None,
    ) -> dict[str, Any]:
        """Click a button of ``message``, or choose ``values`` in one of its menus.

        Raises:
            ApiError: There is no such enabled component, or the bot is offline.
        """
        kind = BUTTON if values is None else STRING_SELECT
        found = [
            c
            for c in _walk(message.get("components") or [])
            if c.get("custom_id") == custom_id and c.get("type") == kind
        ]
        if not found or found[0].get("disabled"):
            raise malformed("this message has no such enabled button or menu")
        data: dict[str, Any] = {"custom_id": custom_id, "component_type": kind}
        if values is not None:
            data["values"] = values
        title = str(found[0].get("label") or "This control")
        source_id = int(message["id"])
        return self._open(COMPONENT, channel_id, user_id, data, title=title, source_id=source_id)

    async def autocomplete(
        self,
        *,
        channel_id: int,
        user_id: int,
        command_id: str,
        path: list[str],
        given: Mapping[str, Any],
        focused: str,
    ) -> list[dict[str, Any]]:
        """Choices that the bot offers for one option; empty when it says nothing in time.

        Raises:
            ApiError: The command is unknown here.
        """
        command = self._command(channel_id, user_id, command_id, SLASH)
        invocation = invoke(command, path, given, {}, focused=focused)
        data = {**_head(command, SLASH), "options": invocation.options}
        record = open_interaction(
            self._backend, kind=AUTOCOMPLETE, channel_id=channel_id, user_id=user_id, data=data
        )
        for _ in range(int(ANSWER_WITHIN_S / CHOICES_PERIOD_S)):
            if record.responded:
                return list(record.autocomplete_choices or [])
            await asyncio.sleep(CHOICES_PERIOD_S)
        return []

    def answered(self, interaction_id: int) -> None:
        """Show the form that the bot may have opened as its answer."""
        record = self._backend.interactions.get(interaction_id)
        if record is None or record.modal is None or record.modal_consumed:
            return
        ids = {"channel_id": str(record.channel_id), "user_id": str(record.user_id)}
        fields = fields_of(record.modal)
        if fields is None:
            text = "The bot opened a form with fields that this page can't show."
            self._feed.send("NOTICE", {**ids, "text": text})
            return
        form = {"id": str(record.id), "title": record.modal["title"], "fields": fields}
        self._feed.send("MODAL", {**ids, **form})

    def submit_modal(
        self, interaction_id: int, user_id: int, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Send a filled form to the bot, once.

        Raises:
            ApiError: There is no such form for this person, a field is wrong, or the bot is
                offline.
        """
        record = self._backend.interactions.get(interaction_id)
        if record is None or record.user_id != user_id or record.modal is None:
            raise malformed("this form is gone")
        if record.modal_consumed:
            raise malformed("this form was sent already")
        components = filled(record.modal, values)
        data = {"custom_id": record.modal["custom_id"], "components": components}
        opened = self._open(
            MODAL,
            record.channel_id,
            user_id,
            data,
            title=str(record.modal["title"]),
            source_id=record.source_message_id,
        )
        record.modal_consumed = True
        return opened

    def _command(self, channel_id: int, user_id: int, command_id: str, kind: int) -> dict[str, Any]:
        for command in visible_commands(self._backend, channel_id, user_id, kind):
            if command["id"] == command_id:
                return command
        raise malformed("this command is not known here; the bot may have restarted")

    def _resolve(self, channel_id: int, invocation: Invocation) -> dict[str, Any]:
        """Store uploads, and look up what the ids among the options stand for."""
        resolved: dict[str, Any] = {}
        for option in _leaves(invocation.options):
            upload = invocation.uploads.get(option["name"])
            if upload is not None:
                files = [(upload.filename, upload.data)]
                [stored] = self._backend.store_attachments(channel_id, files)
                option["value"] = stored["id"]
                resolved.setdefault("attachments", {})[stored["id"]] = stored
            elif option["type"] in {USER, CHANNEL, ROLE, MENTIONABLE}:
                self._resolve_entity(resolved, str(option["value"]))
        return resolved

    def _resolve_entity(self, resolved: dict[str, Any], entity_id: str) -> None:
        guild = guild_payload(self._backend, self._world.guild_id)
        for member in guild["members"]:
            if member["user"]["id"] == entity_id:
                resolved.setdefault("users", {})[entity_id] = member["user"]
                resolved.setdefault("members", {})[entity_id] = member
                return
        for group in ("roles", "channels"):
            for entity in guild[group]:
                if entity["id"] == entity_id:
                    resolved.setdefault(group, {})[entity_id] = entity
                    return
        raise malformed(f"nobody and nothing here has the id {entity_id}")

    def _open(
        self,
        kind: int,
        channel_id: int,
        user_id: int,
        data: dict[str, Any],
        *,
        title: str,
        source_id: int | None = None,
    ) -> dict[str, Any]:
        if not self.bot_online():
            raise ApiError(503, {"code": 0, "message": "The bot is offline."})
        record = open_interaction(
            self._backend,
            kind=kind,
            channel_id=channel_id,
            user_id=user_id,
            data=data,
            source_message_id=source_id,
        )

        if kind == COMMAND:
            # Discord names the subcommand too.
            record.command_name = title.removeprefix("/")

        def check() -> None:
            if not record.responded:
                ids = {"channel_id": str(channel_id), "user_id": str(user_id)}
                text = f"{title}: the application did not respond in time."
                self._feed.send("NOTICE", {**ids, "text": text})

        asyncio.get_running_loop().call_later(ANSWER_WITHIN_S, check)
        return {"id": str(record.id)}


def _head(command: Mapping[str, Any], kind: int) -> dict[str, Any]:
    return {"id": command["id"], "name": command["name"], "type": kind}


def _leaves(options: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for option in options:
        found += _leaves(option["options"]) if "options" in option else [option]
    return found


def _walk(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for component in components:
        children = list(component.get("components") or [])
        if isinstance(component.get("accessory"), dict):
            children.append(component["accessory"])
        found += [component, *_walk(children)]
    return found
