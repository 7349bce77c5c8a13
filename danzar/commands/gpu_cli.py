"""``danzar gpu models|plan|why|history|prefetch``: what the running bot says. Imported by help."""

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
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A name in models.yaml.")]


def add_commands(gpu_app: typer.Typer) -> None:
    """Put the commands into the group ``danzar gpu``."""
    gpu_app.command("models")(_models)
    gpu_app.command("plan")(_plan)
    gpu_app.command("why")(_why)
    gpu_app.command("history")(_history)
    gpu_app.command("prefetch")(_prefetch)


def _models(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every model of the running bot: where it is, and what it holds."""
    from danzar.commands import gpu_bot
    from danzar.config.load import load_config

    answer = asyncio.run(gpu_bot.ask(load_config(config), "models"))
    if as_json:
        terminal.write_json(answer)
    else:
        gpu_bot.print_models(answer, terminal.console())


def _plan(model: ModelArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Where the running bot would put a model now; touches nothing."""
    _explain("plan", model, config, as_json=as_json)


def _why(model: ModelArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Why a model of the running bot is where it is."""
    _explain("why", model, config, as_json=as_json)


def _history(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """What the running bot loaded and unloaded lately, and why."""
    from danzar.commands import gpu_bot
    from danzar.config.load import load_config

    answer = asyncio.run(gpu_bot.ask(load_config(config), "history"))
    if as_json:
        terminal.write_json(answer)
    else:
        gpu_bot.print_history(answer, terminal.console())


def _prefetch(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """What the running bot loaded before it was asked for, and what that brought."""
    from danzar.commands import gpu_bot
    from danzar.config.load import load_config

    answer = asyncio.run(gpu_bot.ask(load_config(config), "prefetch"))
    if as_json:
        terminal.write_json(answer)
    else:
        gpu_bot.print_prefetch(answer, terminal.console())


def _explain(what: str, model: str, config: Path | None, *, as_json: bool) -> None:
    from danzar.commands import gpu_bot
    from danzar.config.load import load_config

    answer = asyncio.run(gpu_bot.ask(load_config(config), what, model=model))
    if as_json:
        terminal.write_json(answer)
    else:
        gpu_bot.print_explanation(answer, terminal.console())
