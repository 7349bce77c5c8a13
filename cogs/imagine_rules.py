"""Where and by whom pictures may be asked for."""

import discord

from danzar.config.imagine import ImagineSettings
from danzar.errors import DanzarError


class NotAllowedHere(DanzarError):
    """The owner does not want pictures in this channel, or not from this person."""


def check_place(
    channel: discord.abc.Messageable | None, user: discord.abc.User, rules: ImagineSettings
) -> None:
    """Refuse a channel or a person that the owner left out.

    Raises:
        NotAllowedHere: With what would be needed.
    """
    names = _names(channel)
    if rules.channels and names.isdisjoint(c.casefold().lstrip("#") for c in rules.channels):
        places = ", ".join(f"#{name.lstrip('#')}" for name in rules.channels)
        raise NotAllowedHere(f"Pictures are made in {places} only.")
    if rules.require_nsfw_channel and not _is_nsfw(channel):
        raise NotAllowedHere("Pictures are made in age-restricted channels only.")
    if rules.role is not None and not _has_role(user, rules.role):
        raise NotAllowedHere(f"Pictures are made for members with the role “{rules.role}” only.")


def check_files(channel: discord.abc.Messageable | None) -> None:
    """Refuse a channel where the bot may send no file.

    Raises:
        NotAllowedHere: It may not.
    """
    if isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        me = channel.guild.me
        if not channel.permissions_for(me).attach_files:
            raise NotAllowedHere("I may not attach files in this channel: give me that right.")


def _names(channel: object) -> set[str]:
    """What the channel, and for a thread its parent, can be called in the settings."""
    found: set[str] = set()
    for place in (channel, getattr(channel, "parent", None)):
        if isinstance(place, discord.abc.GuildChannel | discord.Thread):
            found |= {place.name.casefold(), str(place.id)}
    return found


def _is_nsfw(channel: object) -> bool:
    ask = getattr(channel, "is_nsfw", None)
    return bool(ask()) if ask is not None else False


def _has_role(user: discord.abc.User, role: str) -> bool:
    roles = user.roles if isinstance(user, discord.Member) else []
    return any(role in (r.name, str(r.id)) or r.name.casefold() == role.casefold() for r in roles)
