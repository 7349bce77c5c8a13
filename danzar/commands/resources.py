"""``danzar resources``: asks the bot that runs here, this machine, or a card that is described."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from danzar.commands.services import services_once
from danzar.config.load import load_config
from danzar.config.places import data_folder
from danzar.config.problems import nearest
from danzar.config.settings import Config
from danzar.errors import BadInput, CannotPlace, DanzarError
from danzar.live.asking import Address, NoBot, posted
from danzar.live.control import find_bots
from danzar.resources.machine import DescribedMachine, described_card
from danzar.resources.manager import Parts, ResourceManager
from danzar.resources.profiles import load_profiles
from danzar.resources.schema import Profiles
from danzar.resources.wishes import PATH, AnyWish, Cleanup, Json, grant
from danzar.units import parse_size

_TIMEOUT_S = 120.0
_ERRORS: Mapping[str, type[DanzarError]] = {"BadInput": BadInput, "CannotPlace": CannotPlace}


@dataclass(frozen=True, slots=True)
class Described:
    """A machine to reckon with instead of this one.

    Attributes:
        card: A name such as ``RTX 4090``.
        room: Free on it, as a size; ``None``: all of it.
        ram: Of the host, as a size; ``None``: without limit.
    """

    card: str
    room: str | None = None
    ram: str | None = None


async def ask(folder: Path | None, wish: AnyWish, described: Described | None = None) -> Json:
    """The answer of the described machine, of the running bot, or of this machine, in that order.

    Raises:
        BadInput: A parameter or a name is unknown.
        NoBot: There is no bot whose memory could be cleaned up.
        BotSilent: One is there and does not answer.
    """
    config = load_config(folder)
    if described is not None:
        return await grant(described_manager(config, described), wish)
    for bot in find_bots(data_folder(config), config.folder):
        answer = await _ask_bot(bot, wish)
        if answer is not None:
            return {"source": "bot", **answer}
    if isinstance(wish, Cleanup):
        raise NoBot(
            "no bot is running with these settings: there is nothing of Danzar's to clean up; "
            "start one with `danzar run` or `danzar demo`"
        )
    async with services_once(config) as services:
        return {"source": "machine", **await grant(services.resources, wish)}


def described_manager(config: Config, described: Described) -> ResourceManager:
    """A manager of a machine with that card and RAM, and nothing else on them.

    Raises:
        BadInput: The card or a size is unknown.
    """
    profiles = load_profiles(config.folder)
    total = find_card(profiles, described.card)
    kept = config.vram.placement.margin
    room = total if described.room is None else _size("--room", described.room) + kept
    ram = None if described.ram is None else _size("--ram", described.ram)
    machine = DescribedMachine(described_card(described.card, room, kept), ram)
    threads = os.cpu_count() or 1
    return ResourceManager(Parts(machine, Path(), profiles, cpu_threads=threads))


def find_card(profiles: Profiles, name: str) -> int:
    """The capacity of a card by its name.

    Raises:
        BadInput: It is unknown; the nearest one is named.
    """
    card = profiles.card(name)
    if card is not None:
        return card.memory
    close = nearest(name, [known.lower() for known in profiles.cards])
    hint = f"; did you mean {close.upper()}?" if close else ""
    raise BadInput(f"no card {name!r} is known{hint}; known: {', '.join(sorted(profiles.cards))}")


def params_of(options: Mapping[str, Any]) -> Json:
    """The parameters of a generation from the options that were given."""
    return {key: value for key, value in options.items() if value not in (None, False)}


def _size(option: str, text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as exc:
        raise BadInput(f"{option}: {exc}") from exc


async def _ask_bot(bot: Address, wish: AnyWish) -> Json | None:
    """What the bot says; ``None`` where none is there any more."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with posted(bot, PATH, wish, timeout) as body:
        if body is None:
            return None
        answer = msgspec.json.decode(await body.read(), type=Json)
    return _body(answer)


def _body(answer: Json) -> Json:
    refused = answer.get("refused")
    if refused is not None:
        kind: Callable[[str], DanzarError] = _ERRORS.get(refused["kind"], DanzarError)
        raise kind(refused["reason"])
    body: Json = answer["body"]
    return body
