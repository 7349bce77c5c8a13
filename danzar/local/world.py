"""The small world that the local Discord begins with: one guild, two people and the bot."""

from dataclasses import dataclass

from danzar.local.backend import LocalBackend
from danzar.local.settings import Limits

GUILD_NAME = "Game Night"
BOT_NAME = "Danzar"
OPERATOR_ROLE = "Danzar Operator"
CHANNELS = (
    ("general", "Talk about anything; mention Danzar to ask it"),
    ("game-night", "Post frames and let Danzar watch the game"),
    ("alerts", "What Danzar noticed by itself"),
)


@dataclass(frozen=True, slots=True)
class World:
    """Ids of all that exists at the start.

    Attributes:
        person_id: The one who sits in front of the page; owns the guild, has the operator role.
        guest_id: A second person without any role.
        dm_channel_ids: The direct channel with the bot, by person.
    """

    backend: LocalBackend
    guild_id: int
    person_id: int
    guest_id: int
    operator_role_id: int
    channel_ids: dict[str, int]
    dm_channel_ids: dict[int, int]

    @property
    def people(self) -> tuple[int, int]:
        """Those whom the page may speak for."""
        return (self.person_id, self.guest_id)


def create_world(limits: Limits) -> World:
    """Build the guild with its channels, roles and people."""
    backend = LocalBackend(limits)
    backend.bot_user.name = BOT_NAME
    person = backend.make_user("player_one", global_name="Player One")
    guest = backend.make_user("robin", global_name="Robin")
    guild = backend.create_guild(GUILD_NAME, owner_id=person.id)
    backend.add_member(guild.id, guest.id)
    role = backend.create_role(
        guild.id, OPERATOR_ROLE, color=0xB45309, hoist=True, mentionable=True
    )
    backend.add_member_role(guild.id, person.id, role.id)
    channels = {
        name: backend.create_channel(guild.id, name, topic=topic).id for name, topic in CHANNELS
    }
    return World(
        backend=backend,
        guild_id=guild.id,
        person_id=person.id,
        guest_id=guest.id,
        operator_role_id=role.id,
        channel_ids=channels,
        dm_channel_ids={u: backend.get_dm_channel(u).id for u in (person.id, guest.id)},
    )
