"""The buttons under an incident: they work after a restart, because all they need is their id."""

import re
from typing import Any, Protocol, Self

import discord

from cogs.common import NotOperator, actor_name, answer_error, is_operator
from danzar.errors import DanzarError
from danzar.incidents.record import IncidentRecord

_HOUR_S = 3600.0
# What a button mutes for, seconds; ``None`` is until the incident's end.
MUTES: dict[str, tuple[str, float | None]] = {
    "1h": ("Mute 1 h", _HOUR_S),
    "8h": ("Mute 8 h", 8 * _HOUR_S),
    "end": ("Mute until it is over", None),
}
UNMUTE = "unmute"
COG_NAME = "Incidents"
_TEMPLATE = r"danzar:incident:(?P<number>\d{1,18}):(?P<act>1h|8h|end|unmute)"


class Muting(Protocol):
    """The cog that does what a button says."""

    async def change_mute(self, number: int, act: str, actor: str) -> str:
        """Mute or unmute; what came of it, in words."""
        ...


class IncidentButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=_TEMPLATE):
    """Mutes an incident, or lets it be heard again; for operators."""

    def __init__(self, number: int, act: str) -> None:
        """Make the button for an incident."""
        self.number = number
        self.act = act
        label = MUTES[act][0] if act in MUTES else "Unmute"
        super().__init__(
            discord.ui.Button(
                label=label,
                style=discord.ButtonStyle.secondary,
                custom_id=f"danzar:incident:{number}:{act}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls,
        _interaction: discord.Interaction[Any],
        _item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """The button as it was sent, maybe by an earlier run."""
        return cls(int(match["number"]), match["act"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do it, and say so to the one who pressed alone."""
        role: str = interaction.client.operator_role
        cog: Muting | None = interaction.client.get_cog(COG_NAME)
        if not is_operator(interaction.user, role):
            refusal = NotOperator(f"This needs the role “{role}”.")
            await answer_error(interaction, refusal)
        elif cog is not None:
            actor = actor_name(interaction.user)
            try:
                text = await cog.change_mute(self.number, self.act, actor)
            except DanzarError as exc:
                await answer_error(interaction, exc)
            else:
                await interaction.response.send_message(text, ephemeral=True)


def incident_buttons(record: IncidentRecord) -> discord.ui.View:
    """What may be done about an incident; nothing once it is over."""
    view = discord.ui.View(timeout=None)
    if record.is_open:
        for act in (UNMUTE,) if record.muted else MUTES:
            view.add_item(IncidentButton(record.number, act))
    return view
