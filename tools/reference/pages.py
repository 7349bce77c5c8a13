"""Which pages there are."""

from collections.abc import Callable

from tools.reference.command_line import command_line_page
from tools.reference.discord_commands import discord_page
from tools.reference.endpoints import endpoints_page
from tools.reference.metrics import metrics_page
from tools.reference.settings import settings_page

PAGES: dict[str, Callable[[], str]] = {
    "command-line.md": command_line_page,
    "discord-commands.md": discord_page,
    "endpoints.md": endpoints_page,
    "metrics.md": metrics_page,
    "settings.md": settings_page,
}
