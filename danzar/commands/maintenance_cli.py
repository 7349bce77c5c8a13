"""``danzar logs``, ``backup``, ``restore`` and ``support-bundle``. Light: help imports this."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from danzar.commands import terminal
from danzar.commands.gpu_cli import ConfigOption, JsonOption

Level = Literal["debug", "info", "warning", "error", "critical"]


def add_commands(app: typer.Typer) -> None:
    """Put the commands in."""
    app.command("logs")(_logs)
    app.command("backup")(_backup)
    app.command("restore")(_restore)
    app.command("support-bundle")(_support_bundle)


def _backup(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The archive, or a folder for it.")
    ] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Certificates' private keys, too.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Save conversations, jobs, what was learned and settings; the bot may run meanwhile."""
    from danzar.commands import backup as command
    from danzar.config.load import load_config

    command.give_way()
    with terminal.busy("Copying..."):
        made, manifest = command.back_up(load_config(config), file, with_keys=with_keys)
    if as_json:
        terminal.write_json(command.backup_json(made, manifest))
    else:
        command.print_backup(made, manifest, terminal.console())


def _restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Of `danzar backup`.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Into DIR/data and DIR/config.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Move aside what is in the way.")] = False,
    without_config: Annotated[
        bool, typer.Option("--without-config", help="Leave the settings as they are.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check a backup and put it in place, all of it or nothing; no bot may run there."""
    from danzar.commands import backup as command

    with terminal.busy("Checking and unpacking..."):
        place, restored = command.put_back(
            file, config, to, force=force, with_config=not without_config
        )
    if as_json:
        terminal.write_json(command.restored_json(place, restored))
    else:
        command.print_restored(place, restored, terminal.console())


def _support_bundle(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The ZIP file, or a folder for it.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Collect what a report of a fault needs, without secrets, names and conversations."""
    from danzar.commands import support as command

    with terminal.busy("Collecting..."):
        made, parts = command.collect(config, file)
    command.print_bundle(made, parts, terminal.console())


def _logs(  # noqa: PLR0913 - one for each option
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    last: Annotated[int, typer.Option("-n", min=0, max=1_000_000, help="Lines, at most.")] = 50,
    level: Annotated[Level, typer.Option(help="Nothing less grave.")] = "debug",
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="30m, 1h, 2d, or 2026-01-31T18:00.")
    ] = None,
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="One request's, or one job's.")
    ] = None,
    logger: Annotated[
        str | None, typer.Option(metavar="NAME", help="One part's: danzar.jobs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    config: ConfigOption = None,
) -> None:
    """The newest lines of the log, be the bot running or not; oldest first."""
    from danzar.commands import logs as command
    from danzar.config.load import load_config
    from danzar.logs.read import Filter

    after = None if since is None else command.parse_since(since, datetime.now(UTC))
    wanted = Filter(level, after, request, logger)
    folder, console = command.folder_of(load_config(config)), terminal.console()
    if last and not (follow and not folder.exists()):
        command.show(command.newest(folder, wanted, last), console, as_json=as_json)
    if follow:
        for line in command.follow(folder, wanted):
            command.show([line], console, as_json=as_json)
