"""``danzar jobs ...``. Light: help imports this."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danzar.commands import terminal
from danzar.commands.gpu_cli import ConfigOption, JsonOption

if TYPE_CHECKING:
    from danzar.jobs.control import AnyWish

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="As `danzar jobs list` has it.")]


def add_commands(app: typer.Typer) -> None:
    """Put the group ``danzar jobs`` in."""
    jobs = typer.Typer(help="The jobs of the Danzar that runs here.", no_args_is_help=True)
    for name, command in (
        ("list", _list),
        ("show", _show),
        ("cancel", _cancel),
        ("submit", _submit),
    ):
        jobs.command(name)(command)
    app.add_typer(jobs, name="jobs")


def _list(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The jobs that were accepted here, the newest first, and how many wait for each model."""
    from danzar.commands.jobs import print_jobs
    from danzar.jobs.control import ListJobs

    answer = _ask(config, ListJobs(limit))
    if as_json:
        terminal.write_json(answer)
    else:
        print_jobs(answer, terminal.console())


def _show(
    job: JobArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Keep its picture, video or text."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """One job, and its text where it is completed."""
    from danzar.commands.jobs import keep_file, print_job
    from danzar.jobs.control import ShowJob

    answer = _ask(config, ShowJob(job, with_files=output is not None))
    if output is not None:
        keep_file(answer, output)
        answer["result"].pop("data")
    if as_json:
        terminal.write_json(answer)
    else:
        print_job(answer, terminal.console())


def _cancel(job: JobArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Stop a job that waits or runs; one that has ended stays as it is."""
    from danzar.commands.jobs import print_job
    from danzar.jobs.control import CancelJob

    answer = _ask(config, CancelJob(job))
    if as_json:
        terminal.write_json(answer)
    else:
        print_job(answer, terminal.console())


def _submit(  # noqa: PLR0913 - one for each option
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As models.yaml names it.")],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What it is asked.")],
    picture: Annotated[
        bool, typer.Option("--picture", help="The model makes pictures, and no text.")
    ] = False,
    priority: Annotated[
        int, typer.Option(min=-100, max=100, help="Higher goes first; waiting raises it.")
    ] = 0,
    deadline: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="It fails if it takes longer.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length of a text, at most.")] = 512,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Accept a job: it is on disk when this returns, and ends exactly once."""
    from danzar.commands.jobs import print_job
    from danzar.jobs.contract import JobRequest
    from danzar.jobs.control import OWNER, SubmitJob
    from danzar.workers.contract import ChatMessage, Generate, GenerateImages

    work = (
        GenerateImages(prompt)
        if picture
        else Generate((ChatMessage("user", prompt),), max_tokens=max_tokens)
    )
    request = JobRequest(model, work, priority=priority, deadline_s=deadline, owner=OWNER)
    answer = _ask(config, SubmitJob(request))
    if as_json:
        terminal.write_json(answer)
    else:
        print_job(answer, terminal.console())


def _ask(folder: Path | None, wish: "AnyWish") -> dict[str, Any]:
    from danzar.commands.jobs import ask
    from danzar.config.load import load_config

    return asyncio.run(ask(load_config(folder), wish))
