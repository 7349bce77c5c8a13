"""``danzar keys add|list|revoke``. Imported by help, so it imports what it needs when called."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from danzar.commands import terminal

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="DIR", help="Folder of the four YAML files."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON (docs/json.md).")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What you call it.")]


def add_commands(keys_app: typer.Typer) -> None:
    """Put the commands into the group ``danzar keys``."""
    keys_app.command("add")(_add)
    keys_app.command("make")(_make)
    keys_app.command("list")(_list)
    keys_app.command("revoke")(_revoke)


def _add(
    name: NameArgument,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Default: api.requests_per_minute.")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(min=1, help="Requests at once. Default: api.concurrent.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Jobs that wait or run. Default: api.jobs.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a key for the HTTP API, and show it this once."""
    from danzar.commands import api_keys as command
    from danzar.config.load import load_config
    from danzar.http.api_keys import KeyLimits

    limits = KeyLimits(requests_per_minute, concurrent, jobs)
    key, text = asyncio.run(command.add_key(load_config(config), name, limits))
    if as_json:
        terminal.write_json({**command.key_json(key), "key": text})
    else:
        command.print_added(key, text, terminal.console())


def _make() -> None:
    """Show a new key and store it nowhere: for DANZAR_API_KEY of a bot elsewhere."""
    from danzar.http.api_keys import key_text, new_parts

    terminal.console().print(key_text(*new_parts()), soft_wrap=True)


def _list(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every key of the HTTP API, without what is secret."""
    from danzar.commands import api_keys as command
    from danzar.config.load import load_config

    settings = load_config(config)
    keys = asyncio.run(command.list_keys(settings))
    if as_json:
        terminal.write_json({"keys": [command.key_json(key) for key in keys]})
    else:
        command.print_keys(keys, settings, terminal.console())


def _revoke(name: NameArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Let a key of the HTTP API open nothing any more, at once."""
    from danzar.commands import api_keys as command
    from danzar.config.load import load_config

    key = asyncio.run(command.revoke_key(load_config(config), name))
    if as_json:
        terminal.write_json(command.key_json(key))
    else:
        terminal.console().print(f"{key.name} opens nothing any more.")
