"""``danzar keys ...``: certificates and users of the queue, and keys of the HTTP API. Light."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from danzar.commands.api_keys_cli import add_commands as add_api_commands
from danzar.commands.gpu_cli import ConfigOption, JsonOption

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FOLDER", help="Where all keys are; default: with Danzar's data."
    ),
]
HostOption = Annotated[
    list[str],
    typer.Option("--host", metavar="ADDRESS", help="Of the machine with Redis; may be repeated."),
]
NodeOption = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="NAME", help="A further machine; may be repeated."),
]
MainOption = Annotated[str, typer.Option("--main", metavar="NAME", help="The bot's own machine.")]
PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Of Redis with TLS.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Make new ones; the old ones end.")]
NodeArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the node.")]
OperatorOption = Annotated[bool, typer.Option("--operator", help="It may command other nodes.")]
AlsoOption = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="ADDRESS", help="One more address of the server."),
]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Nodes or `server`; none: all.")
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FOLDER", help="One node's folder, as it was carried there."),
]
ConnectOption = Annotated[bool, typer.Option("--connect", help="Ask the queue to let us in.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands into the group ``danzar keys``."""
    for name, command in (
        ("init", _init),
        ("node", _node),
        ("renew", _renew),
        ("remove", _remove),
        ("show", _show),
        ("check", _check),
    ):
        app.command(name)(command)
    add_api_commands(app)


def _init(  # noqa: PLR0913 - one for each option
    host: HostOption,
    node: NodeOption = None,
    main: MainOption = "main",
    port: PortOption = 6380,
    out: OutOption = None,
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Make certificates and passwords for Redis and each machine; says what to do with them."""
    from danzar.commands import doctor_keys, keys
    from danzar.keys.home import Wish, init_home

    home = doctor_keys.home_folder(out, config)
    wish = Wish(tuple(host), (main, *(node or ())), port)
    facts = init_home(home, wish, datetime.now(UTC), force=force)
    keys.print_next_steps(home, facts)
    _note(out, config, "keys.init", ", ".join(facts.nodes))


def _node(
    name: NodeArgument,
    operator: OperatorOption = False,
    out: OutOption = None,
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Make the folder of one more machine; restart Redis afterwards."""
    from danzar.commands import doctor_keys, keys
    from danzar.keys.home import add_node

    home = doctor_keys.home_folder(out, config)
    before = keys.operators_bytes(home)
    facts = add_node(home, name, datetime.now(UTC), operator=operator, force=force)
    keys.print_changed(home, facts, (name,), before)
    _note(out, config, "keys.node", f"{name}{', may command nodes' if operator else ''}")


def _renew(
    names: NamesArgument = None,
    also: AlsoOption = None,
    out: OutOption = None,
    config: ConfigOption = None,
) -> None:
    """New certificates and passwords by the same authority; the old passwords end."""
    from danzar.commands import doctor_keys, keys
    from danzar.keys.home import renew
    from danzar.keys.home_files import SERVER

    home = doctor_keys.home_folder(out, config)
    before = keys.operators_bytes(home)
    facts = renew(home, names or (), also or (), datetime.now(UTC))
    changed = tuple(name for name in names or facts.nodes if name != SERVER)
    keys.print_changed(home, facts, changed, before)
    _note(out, config, "keys.renew", ", ".join(names or ("all",)))


def _remove(name: NodeArgument, out: OutOption = None, config: ConfigOption = None) -> None:
    """Shut a machine out: its user in Redis ends; restart Redis afterwards."""
    from danzar.commands import doctor_keys, keys
    from danzar.keys.home import remove_node

    home = doctor_keys.home_folder(out, config)
    before = keys.operators_bytes(home)
    facts = remove_node(home, name)
    keys.print_changed(home, facts, (), before)
    _note(out, config, "keys.remove", name)


def _note(out: Path | None, config: Path | None, action: str, detail: str) -> None:
    """Write a line into the audit of the bot whose data the keys lie with; elsewhere is none."""
    from danzar.commands.noted import note
    from danzar.config.load import load_config

    if out is None:
        asyncio.run(note(load_config(config), action, detail))


def _show(out: OutOption = None, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """What keys there are, and until when; never the keys themselves."""
    from danzar.commands import doctor_keys, keys, terminal

    overview = doctor_keys.overview(doctor_keys.home_folder(out, config), datetime.now(UTC))
    if as_json:
        terminal.write_json(overview.to_json())
    else:
        keys.print_overview(overview, terminal.console())


def _check(
    folder: FolderOption = None,
    out: OutOption = None,
    connect: ConnectOption = False,
    config: ConfigOption = None,
) -> None:
    """Whether keys are whole, private and good for a while; with --connect, whether they open."""
    from danzar.commands import keys, terminal

    findings = keys.check(out, folder, config, connect=connect)
    keys.print_check(findings, terminal.console())
