"""``danzar optimizer ...``: the seed's commands and options. Light: help imports this."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danzar.commands import terminal
from danzar.commands.gpu_cli import ConfigOption, JsonOption

if TYPE_CHECKING:
    from danzar.config.settings import Config
    from danzar.optimizer.wishes import AnyWish

NO_BOT = "no bot is running with these settings; it will start with them"
_AUTO = "auto"
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Keep it in this file.")
]


def add_commands(app: typer.Typer) -> None:
    """Put the commands into the group ``danzar optimizer``."""
    for name, command in (
        ("status", _status),
        ("history", _history),
        ("monitor", _monitor),
        ("optimize", _optimize),
        ("set-batch-size", _set_batch_size),
        ("enable", _enable),
        ("disable", _disable),
        ("start-monitoring", _start_monitoring),
        ("stop-monitoring", _stop_monitoring),
        ("configure", _configure),
        ("export-config", _export_config),
        ("import-config", _import_config),
        ("benchmark", _benchmark),
    ):
        app.command(name)(command)


def _status(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """The cards, the batches, the settings, and what was done last."""
    from danzar.commands import optimizer_print
    from danzar.optimizer.wishes import Status

    answer = _ask(config, Status())
    if as_json:
        terminal.write_json(answer)
    else:
        optimizer_print.print_status(answer, terminal.console())


def _history(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """What was done about memory, by itself or because someone asked; oldest first."""
    from danzar.commands import optimizer_print
    from danzar.optimizer.wishes import History

    answer = _ask(config, History())
    if as_json:
        terminal.write_json(answer)
    else:
        optimizer_print.print_history(answer["history"], terminal.console())


def _monitor(
    duration: Annotated[
        float, typer.Option("--duration", min=1, max=86_400, help="Seconds, all together.")
    ] = 300,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, max=3600, help="Seconds between two looks.")
    ] = 5,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Follow the cards and batches for a while."""
    from danzar.commands.optimizer_monitor import monitor

    answer = asyncio.run(monitor(_load(config), duration, interval, quiet=as_json))
    if as_json:
        terminal.write_json(answer)


def _optimize(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Give back cached and unused memory now; says how many bytes came back."""
    from danzar.commands import optimizer_print
    from danzar.errors import DanzarError
    from danzar.optimizer.wishes import Optimize

    result = _ask(config, Optimize(), "optimizing")
    if as_json:
        terminal.write_json(result)
    elif result["action_taken"] != "none":
        optimizer_print.print_result(result, terminal.console())
    if not result["success"]:
        raise DanzarError(f"the memory was not optimized: {result['reason']}")


def _set_batch_size(
    size: Annotated[str, typer.Argument(metavar="N|auto", help="Pictures; auto: decide again.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Keep batches at a size until `auto` or a restart; refused where memory has no room."""
    from danzar.optimizer.wishes import SetBatchSize

    if size != _AUTO and not (size.isascii() and size.isdecimal() and int(size) > 0):
        raise typer.BadParameter(f"{size!r} is neither a number of pictures nor {_AUTO}")
    answer = _ask(config, SetBatchSize(None if size == _AUTO else int(size)))
    _tell(answer, f"batch size: {answer['before']} -> {answer['after']}", as_json=as_json)


def _enable(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Let batches follow the memory, and clean up; now and after a restart."""
    _change(config, {"enabled": True}, "enable", as_json=as_json)


def _disable(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Keep batches at watch.batch_size and clean nothing up. The ledger goes on."""
    _change(config, {"enabled": False}, "disable", as_json=as_json)


def _start_monitoring(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Clean up by itself again."""
    _monitoring(config, on=True, as_json=as_json)


def _stop_monitoring(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Clean up no more by itself, until start-monitoring or a restart."""
    _monitoring(config, on=False, as_json=as_json)


def _configure(  # noqa: PLR0913 - one for each option
    strategy: Annotated[
        str | None, typer.Option(help="conservative, balanced, aggressive or adaptive.")
    ] = None,
    warning_threshold: Annotated[float | None, typer.Option(help="Share in use, 0 to 1.")] = None,
    critical_threshold: Annotated[float | None, typer.Option(help="Above the warning's.")] = None,
    oom_threshold: Annotated[float | None, typer.Option(help="Above the critical one.")] = None,
    max_batch_size: Annotated[int | None, typer.Option(help="Pictures at once.")] = None,
    min_batch_size: Annotated[int | None, typer.Option(help="Pictures at once.")] = None,
    temperature_threshold: Annotated[float | None, typer.Option(help="Degrees Celsius.")] = None,
    memory_reserve_mb: Annotated[int | None, typer.Option(help="MiB left free.")] = None,
    gc_threshold: Annotated[float | None, typer.Option(help="Share in use, 0 to 1.")] = None,
    fragmentation_threshold: Annotated[float | None, typer.Option(help="Share, 0 to 1.")] = None,
    monitoring_interval: Annotated[int | None, typer.Option(help="Seconds.")] = None,
    optimization_interval: Annotated[int | None, typer.Option(help="Seconds.")] = None,
    cleanup_interval: Annotated[int | None, typer.Option(help="Seconds.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Change settings, in the file and in the running bot: all of them, or none."""
    named = {
        "strategy": strategy,
        "memory_threshold_warning": warning_threshold,
        "memory_threshold_critical": critical_threshold,
        "memory_threshold_oom": oom_threshold,
        "max_batch_size": max_batch_size,
        "min_batch_size": min_batch_size,
        "temperature_threshold": temperature_threshold,
        "memory_reserve_mb": memory_reserve_mb,
        "gc_threshold": gc_threshold,
        "fragmentation_threshold": fragmentation_threshold,
        "monitoring_interval": monitoring_interval,
        "optimization_interval": optimization_interval,
        "cleanup_interval": cleanup_interval,
    }
    values = {field: value for field, value in named.items() if value is not None}
    if not values:
        raise typer.BadParameter("name at least one setting, for example --strategy adaptive")
    _change(config, values, "configure", as_json=as_json)


def _export_config(
    output: OutputOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """The settings as JSON with the seed's names, as import-config takes them."""
    import json

    from danzar.commands import optimizer

    text = asyncio.run(optimizer.export_config(_load(config)))
    if output is not None:
        optimizer.write_file(output, text)
    if as_json:
        terminal.write_json({"output": str(output) if output else None, "config": json.loads(text)})
    elif output is not None:
        terminal.console().print(f"The settings are in {output}.")
    else:
        typer.echo(text, nl=False)


def _import_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As export-config wrote it.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Replace all settings of the optimizer by those of a file; a wrong file changes nothing."""
    from danzar.commands import optimizer

    wanted = optimizer.read_config(file)
    _change(config, wanted.model_dump(mode="json"), "import-config", as_json=as_json)


def _benchmark(
    duration: Annotated[
        float, typer.Option("--duration", min=1, max=3600, help="Seconds, about.")
    ] = 60,
    output: OutputOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """How fast the vision models are at each batch size, and at the optimizer's choice."""
    import json

    from danzar.commands import optimizer, optimizer_print
    from danzar.optimizer.wishes import Benchmark

    answer = _ask(config, Benchmark(duration), "benchmark")
    if output is not None:
        optimizer.write_file(output, json.dumps({"version": 1, **answer}, indent=2) + "\n")
    if as_json:
        terminal.write_json(answer)
    else:
        optimizer_print.print_bench(answer, terminal.console())


def _monitoring(config: Path | None, *, on: bool, as_json: bool) -> None:
    from danzar.optimizer.wishes import SetMonitoring

    answer = _ask(config, SetMonitoring(on))
    _tell(answer, f"monitoring: {answer['before']} -> {answer['after']}", as_json=as_json)


def _change(folder: Path | None, values: dict[str, Any], action: Any, *, as_json: bool) -> None:  # noqa: ANN401 - a Literal of wishes
    from danzar.commands import optimizer, optimizer_print
    from danzar.optimizer.wishes import Configure

    changed = asyncio.run(optimizer.change(_load(folder), Configure(values, action))).to_json()
    if as_json:
        terminal.write_json(changed)
    else:
        optimizer_print.print_changes(changed, terminal.console(), NO_BOT)


def _ask(folder: Path | None, wish: "AnyWish", label: str | None = None) -> dict[str, Any]:
    from danzar.commands import optimizer
    from danzar.commands.optimizer_progress import share_progress

    settings = _load(folder)
    with share_progress(label) as on_progress:
        return asyncio.run(optimizer.ask(settings, wish, on_progress))


def _tell(answer: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        terminal.write_json(answer)
    else:
        terminal.console().print(line)


def _load(folder: Path | None) -> "Config":
    from danzar.config.load import load_config

    return load_config(folder)
