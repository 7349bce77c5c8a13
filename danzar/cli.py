"""The command line. Every command imports what it needs when it is called: help stays quick."""

import asyncio
import logging
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from danzar.commands import terminal
from danzar.commands.deploy_cli import add_commands as add_deploy_commands
from danzar.commands.gpu_cli import add_commands
from danzar.commands.jobs_cli import add_commands as add_job_commands
from danzar.commands.keys_cli import add_commands as add_key_commands
from danzar.commands.maintenance_cli import add_commands as add_maintenance_commands
from danzar.commands.node_cli import add_commands as add_node_commands
from danzar.commands.optimizer_cli import add_commands as add_optimizer_commands
from danzar.commands.resources_cli import add_commands as add_resource_commands
from danzar.errors import DanzarError, first_error
from danzar.heap import prepare_for_months

DEBUG_VARIABLE = "DANZAR_DEBUG"
# What typer exits with after Ctrl-C.
_INTERRUPTED = 130

app = typer.Typer(
    name="danzar",
    help="A Discord bot that talks, sees and watches games on your own GPUs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
gpu_app = typer.Typer(help="The graphics cards.", no_args_is_help=True)
models_app = typer.Typer(help="The models and their files.", no_args_is_help=True)
config_app = typer.Typer(help="The settings.", no_args_is_help=True)
resources_app = typer.Typer(help="What generating pictures and videos takes.", no_args_is_help=True)
optimizer_app = typer.Typer(help="Batch sizes and clean-up.", no_args_is_help=True)
app.add_typer(gpu_app, name="gpu")
add_commands(gpu_app)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(optimizer_app, name="optimizer")
add_optimizer_commands(optimizer_app)
app.add_typer(resources_app, name="resources")
add_resource_commands(resources_app)
add_node_commands(app)
add_job_commands(app)
keys_app = typer.Typer(help="Who may connect: machines and programs.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
add_key_commands(keys_app)
add_deploy_commands(app)
add_maintenance_commands(app)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="DIR", help="Folder of the four YAML files."),
]
DevicesOption = Annotated[
    Path,
    typer.Option(
        "--devices", metavar="FILE", exists=True, dir_okay=False, help="Devices, models, rules."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON (docs/json.md).")]
KvType = Literal["f32", "f16", "q8_0", "q4_0"]


def main() -> int:
    """Run a command; returns 0 or 1, or exits with 2 where it was called wrongly."""
    try:
        app()
    except SystemExit as exc:
        if exc.code != _INTERRUPTED:
            return exc.code if isinstance(exc.code, int) else 1
        terminal.fail("stopped")
    except Exception as exc:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        hint = "" if isinstance(first_error(exc), DanzarError) else _debug_hint()
        terminal.fail(f"{terminal.one_line(exc)}{hint}")
    return 1


def _debug_hint() -> str:
    return f" ({DEBUG_VARIABLE}=1 shows where)"


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"danzar {metadata.version('danzar')}\n")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
) -> None:
    terminal.log_to(sys.stderr if verbose else None, logging.INFO)


@app.command()
def run(config: ConfigOption = None) -> None:
    """Be online with the token in DISCORD_TOKEN, until Ctrl-C. The log goes to stdout."""
    prepare_for_months()
    from danzar.commands import run as command
    from danzar.config.load import load_config
    from danzar.config.secret_files import take_secrets
    from danzar.logs.keep import keep_log

    take_secrets(os.environ)
    settings, token = load_config(config), command.token_from()
    with keep_log(settings, sys.stdout, name="run"):
        terminal.run_until_signal(command.run(settings, token))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen. Default: api.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: a free one. Default: api.port.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Serve the HTTP API without Discord (docs/api.md), until Ctrl-C. The log goes to stderr."""
    prepare_for_months()
    from danzar.commands import serve as command
    from danzar.config.load import load_config
    from danzar.logs.keep import keep_log

    settings = load_config(config)
    with keep_log(settings, sys.stderr, name="serve"):
        terminal.run_until_signal(command.serve(settings, host, port))


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: a free one.")] = 8765,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it.")] = True,
    config: ConfigOption = None,
) -> None:
    """Try everything without a token: the real bot against a local Discord in the browser."""
    prepare_for_months()
    from danzar.commands.demo import run_demo
    from danzar.config.load import load_config

    settings = load_config(config)
    terminal.run_until_signal(run_demo(settings, config, port=port, open_browser=browser))


@app.command()
def see(
    image: Annotated[Path, typer.Argument(help="The picture.", exists=True, dir_okay=False)],
    question: Annotated[str | None, typer.Option("--question", "-q", help="What to ask.")] = None,
    annotated: Annotated[
        Path | None, typer.Option("--annotated", metavar="FILE", help="Save with boxes (JPEG).")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Look at a picture, and answer a question about it."""
    from danzar.commands import see as command
    from danzar.config.load import load_config

    settings = load_config(config)
    with terminal.busy("Loading the models and looking..."):
        sight = asyncio.run(command.see(settings, image, question))
    if annotated is not None:
        command.save_annotated(sight, annotated)
    if as_json:
        terminal.write_json(command.sight_json(sight))
    else:
        command.print_sight(sight, terminal.console())


@app.command()
def doctor(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Check everything that Danzar needs, and say for each problem what to type."""
    from danzar.commands.doctor import FAIL, examine, print_findings
    from danzar.config.secret_files import take_secrets

    take_secrets(os.environ)
    with terminal.busy("Looking at everything that Danzar needs..."):
        findings = examine(config)
    if as_json:
        terminal.write_json({"checks": [finding.to_json() for finding in findings]})
    else:
        print_findings(findings, terminal.console())
    failed = [finding for finding in findings if finding.level == FAIL]
    if failed:
        raise DanzarError(f"{len(failed)} of {len(findings)} checks failed: {failed[0].name}")


@app.command()
def estimate(  # noqa: PLR0913 - one for each option
    target: Annotated[str, typer.Argument(metavar="MODEL|FILE", help="In models.yaml, or a file.")],
    ctx: Annotated[int | None, typer.Option(min=1, help="Tokens of context.")] = None,
    layers: Annotated[int | None, typer.Option(min=0, help="On the card; 0: the CPU.")] = None,
    kv_type: Annotated[KvType | None, typer.Option(help="Precision of the KV cache.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Computed at once.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """What a model will need, by parts, before it is loaded."""
    from danzar.commands import estimate as command
    from danzar.config.load import load_config

    asked = command.Asked(ctx, layers, kv_type, batch)
    answer = command.estimate(load_config(config), target, asked)
    if as_json:
        terminal.write_json(command.answer_json(answer))
    else:
        command.print_answer(answer, terminal.console())


@app.command()
def plan(
    model: Annotated[str, typer.Argument(help="A model of the file.")],
    devices: DevicesOption,
    as_json: JsonOption = False,
) -> None:
    """Where a model would go in a described world, who would leave, and why; touches nothing."""
    from danzar.commands import plan as command

    planned = command.plan_model(model, devices)
    if as_json:
        terminal.write_json(command.planned_json(planned))
    else:
        command.print_planned(planned, terminal.console())


@app.command()
def simulate(
    trace: Annotated[str, typer.Argument(help="A file, or MAKER:SEED (zipf, bursts, ...).")],
    devices: DevicesOption,
    policy: Annotated[
        str | None, typer.Option("--policy", "-p", help="Instead of the file's: cost, lru, ...")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep all decisions, for `replay`.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Carry out a trace with the real planner on described devices, in virtual time."""
    from danzar.commands import simulate as command

    with terminal.busy("Simulating..."):
        result = command.simulate(trace, devices, policy, record)
    if as_json:
        terminal.write_json(command.simulated_json(result))
    else:
        command.print_simulated(result, terminal.console())


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Recorded decisions.", exists=True, dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Decide recorded decisions again, and say which ones differ."""
    from danzar.commands import replay as command

    result = command.replay(file)
    if as_json:
        terminal.write_json(command.replayed_json(result))
    else:
        command.print_replayed(result, terminal.console())
    if result.same < result.decisions:
        differing = result.decisions - result.same
        raise DanzarError(f"{differing} of {result.decisions} decisions are others now")


@gpu_app.command("status")
def gpu_status(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every device: in use, free, kept, Danzar's and others'."""
    from danzar.commands import gpu
    from danzar.config.load import load_config

    answer = asyncio.run(gpu.status(load_config(config)))
    terminal.write_json(answer) if as_json else gpu.print_status(answer, terminal.console())


@gpu_app.command("vision")
def gpu_vision(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """The device that vision should use now, and why."""
    from danzar.commands import gpu
    from danzar.config.load import load_config

    answer = asyncio.run(gpu.vision(load_config(config)))
    terminal.write_json(answer) if as_json else gpu.print_vision(answer, terminal.console())


@gpu_app.command("log")
def gpu_log(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """The cards' state as one line each."""
    from danzar.commands import gpu
    from danzar.config.load import load_config

    answer = asyncio.run(gpu.log(load_config(config)))
    terminal.write_json(answer) if as_json else gpu.print_log(answer, terminal.console())


@models_app.command("list")
def models_list(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every model, whether it is here, and which ones are in use."""
    from danzar.commands import models
    from danzar.config.load import load_config

    found = models.list_models(load_config(config))
    if as_json:
        terminal.write_json(models.listed_json(found))
    else:
        models.print_listed(found, terminal.console())


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names in models.yaml.")],
    trust: Annotated[
        bool,
        typer.Option(
            "--trust-unverified", help="Take a model without a sha256; remember what came."
        ),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Download models, and check them."""
    from danzar.commands import models
    from danzar.config.load import load_config

    got = asyncio.run(models.pull_models(load_config(config), names, trust=trust))
    checked = [models.Checked(verified.name, verified, None, missing=False) for verified in got]
    if as_json:
        terminal.write_json(models.checked_json(checked))
    else:
        models.print_checked(checked, terminal.console())


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check the files of these models, or of all that are here or in use."""
    from danzar.commands import models
    from danzar.config.load import load_config

    checked = models.check_models(load_config(config), names or [])
    if as_json:
        terminal.write_json(models.checked_json(checked))
    else:
        models.print_checked(checked, terminal.console())
    bad = [model for model in checked if model.verified is None]
    if bad:
        raise DanzarError(f"{len(bad)} of {len(checked)} models are not in order: {bad[0].error}")


@app.command()
def queue(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Who is being answered by the running bot, and who waits for what."""
    from danzar.commands.gpu_bot import ask
    from danzar.commands.queue import print_queue
    from danzar.config.load import load_config

    answer = asyncio.run(ask(load_config(config), "queue"))
    terminal.write_json(answer) if as_json else print_queue(answer, terminal.console())


@app.command()
def audit(
    last: Annotated[int, typer.Option(min=1, max=10_000, help="Lines, at most.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Who did what lately, by command or in Discord; oldest first."""
    from danzar.commands import audit as command
    from danzar.config.load import load_config

    answer = command.read_audit(load_config(config), last)
    terminal.write_json(answer) if as_json else command.print_audit(answer, terminal.console())


@config_app.command("check")
def config_check(
    path: Annotated[Path | None, typer.Argument(help="The folder, or a file in it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read all settings, and name every mistake with its file, line and key."""
    from danzar.commands import config as command

    result = command.check(path)
    if as_json:
        terminal.write_json(command.result_json(result))
    else:
        command.print_result(result, terminal.console())
    if result.problems:
        count = len(result.problems)
        raise DanzarError(f"{count} problem{'s' if count > 1 else ''} in the configuration")


@config_app.command("path")
def config_path(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Where the settings, the data and the log are."""
    from danzar.commands import config as command
    from danzar.config.load import load_config

    places = command.places(load_config(config))
    if as_json:
        terminal.write_json(dict(places))
        return
    for name, path in places.items():
        terminal.console().print(f"{name:<9} {path or '(none: defaults)'}", soft_wrap=True)


@config_app.command("import")
def config_import(
    file: Annotated[Path, typer.Argument(help="Another program's settings.", dir_okay=False)],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the four files there.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read another program's settings, key by key, and write Danzar's (docs/migrating.md)."""
    from danzar.commands import migrate as command

    result = command.convert(file, out, config)
    if as_json:
        terminal.write_json(command.import_json(result))
    else:
        command.print_import(result, terminal.console())
    if result.problems:
        raise DanzarError(f"{file} can't be taken over; nothing was written")


@config_app.command("set", context_settings={"ignore_unknown_options": True})
def config_set(
    key: Annotated[str, typer.Argument(help="For example placement.margin.")],
    value: Annotated[str, typer.Argument(help="As in the file, for example '1 GiB'.")],
    later: Annotated[
        bool, typer.Option("--later", help="Leave the running bot as it is until its next start.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Change one setting, in its file and in the running bot."""
    from danzar.commands import config as command

    changed = asyncio.run(command.change(config, key, value, later=later))
    if as_json:
        terminal.write_json(command.changed_json(changed))
    else:
        command.print_changed(changed, terminal.console())


@config_app.command("reload")
def config_reload(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Have the running bot apply what the files say now."""
    from danzar.commands import config as command

    changed = asyncio.run(command.reload(config))
    if as_json:
        terminal.write_json(command.changed_json(changed))
    else:
        command.print_changed(changed, terminal.console())


if __name__ == "__main__":
    sys.exit(main())
