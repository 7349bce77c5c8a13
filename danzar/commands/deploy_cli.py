"""``danzar init`` and ``danzar health``: what containers and services call. Light."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from danzar.commands import terminal
from danzar.commands.gpu_cli import ConfigOption, JsonOption
from danzar.errors import DanzarError

FolderArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]", help="Where; none: $DANZAR_CONFIG and $DANZAR_ROOT, or your platform's."
    ),
]
AliveOption = Annotated[bool, typer.Option("--alive", help="Only whether it lives, not ready.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands beside the others."""
    app.command("init")(_init)
    app.command("health")(_health)


def _init(folder: FolderArgument = None) -> None:
    """Lay down the settings and weights that ship, where there are none yet (docs/deploying.md)."""
    from danzar.commands import init as command
    from danzar.config.secret_files import take_secrets

    take_secrets(os.environ)
    places = command.places_for(folder)
    command.print_laid_down(command.lay_down(places), places, terminal.console())
    asyncio.run(command.take_key(places))


def _health(
    alive: AliveOption = False, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Whether the bot on this machine is ready; if not, what is missing, and status 1."""
    from danzar.commands.health import ask_health
    from danzar.config.load import load_config

    found = ask_health(load_config(config), alive_only=alive)
    if as_json:
        terminal.write_json(found.to_json())
    if not found.ok:
        raise DanzarError(f"not {'alive' if alive else 'ready'}: {'; '.join(found.missing)}")
    if not as_json:
        terminal.console().print("alive" if alive else "ready")
