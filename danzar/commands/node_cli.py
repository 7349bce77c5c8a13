"""``danzar node`` and ``danzar nodes ...``. Light: help imports this."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from danzar.commands import terminal
from danzar.commands.gpu_cli import ConfigOption, JsonOption, ModelArgument
from danzar.heap import prepare_for_months

if TYPE_CHECKING:
    from danzar.config.settings import Config
    from danzar.nodes.wire import Action

QueueOption = Annotated[
    str | None,
    typer.Option("--queue", metavar="URL", help="rediss://HOST:PORT; else jobs.url."),
]
KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", metavar="DIR", help="This machine's key folder; else jobs.keys."),
]
OnOption = Annotated[str, typer.Option("--on", metavar="NAME", help="Which node.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1, max=3600, help="Seconds until an answer must be here.")
]


def add_commands(app: typer.Typer) -> None:
    """Put ``danzar node`` and the group ``danzar nodes`` in."""
    app.command("node")(_node)
    nodes = typer.Typer(help="The machines that share the queue.", invoke_without_command=True)
    nodes.callback()(_nodes)
    for name, command in (
        ("plan", _plan),
        ("load", _load),
        ("unload", _unload),
        ("status", _status),
    ):
        nodes.command(name)(command)
    app.add_typer(nodes, name="nodes")


def _node(
    queue: QueueOption = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the others call this machine.")
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="[DEVICE=]SIZE", help="The most on each GPU, or on one: cuda:1=6GiB."),
    ] = None,
    keys: KeysOption = None,
    config: ConfigOption = None,
) -> None:
    """Run jobs of the queue on this machine's devices, without Discord, until Ctrl-C.

    SIGTERM or Ctrl-C: takes no more jobs, finishes those that run (jobs.drain_s), and leaves; the
    second one ends it at once.
    """
    prepare_for_months()
    from danzar.commands import node as command
    from danzar.logs.keep import keep_log

    settings = command.settings(_settings(config, queue, keys), name, budget or [])
    with keep_log(settings, sys.stdout, name="node"):
        command.run_until_left(settings)


def _nodes(
    ctx: typer.Context,
    as_json: JsonOption = False,
    queue: QueueOption = None,
    keys: KeysOption = None,
    config: ConfigOption = None,
) -> None:
    """Every node: its devices, what is loaded, whether it lives, and since when."""
    if ctx.invoked_subcommand is not None:
        return
    from danzar.commands import nodes as command

    members = asyncio.run(command.members(_settings(config, queue, keys)))
    if as_json:
        terminal.write_json(command.nodes_json(members))
    else:
        command.print_nodes(members, terminal.console())


def _plan(
    model: ModelArgument,
    as_json: JsonOption = False,
    queue: QueueOption = None,
    keys: KeysOption = None,
    config: ConfigOption = None,
) -> None:
    """Which node would take a model's next job, and why; touches nothing."""
    from danzar.commands import nodes as command

    planned = asyncio.run(command.plan(_settings(config, queue, keys), model))
    if as_json:
        terminal.write_json(command.planned_json(planned))
    else:
        command.print_planned(planned, terminal.console())


def _load(  # noqa: PLR0913 - one for each option
    model: ModelArgument,
    on: OnOption,
    timeout_s: TimeoutOption = 300,
    as_json: JsonOption = False,
    queue: QueueOption = None,
    keys: KeysOption = None,
    config: ConfigOption = None,
) -> None:
    """Have a node load a model; needs the operator's key (danzar keys init)."""
    from danzar.nodes.wire import Action

    settings = _settings(config, queue, keys)
    _command(settings, on, Action.LOAD_MODEL, model, timeout_s, as_json=as_json)


def _unload(  # noqa: PLR0913 - one for each option
    model: ModelArgument,
    on: OnOption,
    timeout_s: TimeoutOption = 60,
    as_json: JsonOption = False,
    queue: QueueOption = None,
    keys: KeysOption = None,
    config: ConfigOption = None,
) -> None:
    """Have a node unload a model once it is idle; needs the operator's key."""
    from danzar.nodes.wire import Action

    settings = _settings(config, queue, keys)
    _command(settings, on, Action.UNLOAD_MODEL, model, timeout_s, as_json=as_json)


def _status(
    on: OnOption,
    timeout_s: TimeoutOption = 10,
    as_json: JsonOption = False,
    queue: QueueOption = None,
    keys: KeysOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask a node itself what it has loaded; needs the operator's key."""
    from danzar.nodes.wire import Action

    settings = _settings(config, queue, keys)
    _command(settings, on, Action.GET_LOADED_MODELS_STATUS, None, timeout_s, as_json=as_json)


def _command(
    config: "Config",
    node: str,
    action: "Action",
    model: str | None,
    timeout_s: float,
    *,
    as_json: bool,
) -> None:
    from danzar.commands import nodes as command
    from danzar.errors import DanzarError

    answer = asyncio.run(command.order(config, node, action, model, timeout_s))
    if as_json:
        terminal.write_json(command.answer_json(node, answer))
    elif answer.done:
        command.print_answer(node, answer, terminal.console())
    if not answer.done:
        raise DanzarError(f"{node}: {answer.text}")


def _settings(folder: Path | None, queue: str | None, keys: Path | None) -> "Config":
    from danzar.commands.node_settings import with_queue
    from danzar.config.load import load_config

    return with_queue(load_config(folder), queue, keys)
