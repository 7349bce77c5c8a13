"""``danzar resources ...``: what generating takes, and if it fits. Light: help imports this."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from danzar.commands import terminal
from danzar.commands.gpu_cli import ConfigOption, JsonOption
from danzar.errors import CannotPlace

if TYPE_CHECKING:
    from danzar.commands.resources import Described
    from danzar.resources.wishes import AnyWish

ModelArgument = Annotated[str, typer.Argument(help="t2v, i2v, ti2v, sdxl, ... (see `profiles`).")]
ResolutionOption = Annotated[
    str | None, typer.Option("--resolution", "-r", help="720p, 1280x720, ...")
]
StepsOption = Annotated[int | None, typer.Option(help="Of denoising.")]
DurationOption = Annotated[float | None, typer.Option("--duration", "-d", help="Seconds.")]
LoraOption = Annotated[int | None, typer.Option(help="How many adapters.")]
BatchOption = Annotated[int | None, typer.Option(help="Made at once.")]
PrecisionOption = Annotated[
    Literal["fp32", "half", "fp8"] | None, typer.Option(help="Of the weights.")
]
OffloadOption = Annotated[
    Literal["none", "model", "layers"] | None, typer.Option(help="What waits in host RAM.")
]
TilingOption = Annotated[bool, typer.Option("--vae-tiling", help="Decode in tiles.")]
TextOption = Annotated[bool, typer.Option("--text-on-cpu", help="The text encoder on the CPU.")]
CardOption = Annotated[
    str | None, typer.Option("--card", help="Instead of this machine: 'RTX 4090'.")
]
RoomOption = Annotated[str | None, typer.Option("--room", help="Free on that card: '10 GiB'.")]
RamOption = Annotated[str | None, typer.Option("--ram", help="With that card: '32 GiB'.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands into the group ``danzar resources``."""
    for name, command in (
        ("estimate", _estimate),
        ("check", _check),
        ("optimize", _optimize),
        ("status", _status),
        ("cleanup", _cleanup),
        ("profiles", _profiles),
    ):
        app.command(name)(command)


def _estimate(  # noqa: PLR0913 - one for each option
    model: ModelArgument,
    resolution: ResolutionOption = None,
    steps: StepsOption = None,
    duration: DurationOption = None,
    lora: LoraOption = None,
    batch: BatchOption = None,
    precision: PrecisionOption = None,
    offload: OffloadOption = None,
    vae_tiling: TilingOption = False,
    text_on_cpu: TextOption = False,
    card: CardOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """What generating pictures or a video would need: VRAM, RAM, disk, CPU, time."""
    from danzar.commands import resources_print
    from danzar.resources.wishes import Estimate

    given = {"resolution": resolution, "steps": steps, "duration": duration, "lora": lora}
    given |= {"batch": batch, "precision": precision, "offload": offload, "vae_tiling": vae_tiling}
    answer = _ask(config, Estimate(_params(model, given, text_on_cpu)), _described(card))
    if as_json:
        terminal.write_json(answer)
    else:
        resources_print.print_requirement(answer, terminal.console())


def _check(
    required_mb: Annotated[float, typer.Argument(metavar="MIB", min=0, help="On one card.")],
    margin_mb: Annotated[float, typer.Option("--margin", min=0, help="MiB beside it.")] = 0.0,
    card: CardOption = None,
    room: RoomOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Whether a card has room for so many MiB now."""
    from danzar.commands import resources_print
    from danzar.resources.wishes import Check

    answer = _ask(config, Check(required_mb, margin_mb), _described(card, room))
    if as_json:
        terminal.write_json(answer)
    else:
        resources_print.print_check(answer, terminal.console())


def _optimize(  # noqa: PLR0913 - one for each option
    model: ModelArgument,
    resolution: ResolutionOption = None,
    steps: StepsOption = None,
    duration: DurationOption = None,
    lora: LoraOption = None,
    batch: BatchOption = None,
    precision: PrecisionOption = None,
    offload: OffloadOption = None,
    vae_tiling: TilingOption = False,
    text_on_cpu: TextOption = False,
    within: Annotated[float | None, typer.Option(help="Seconds that it may take.")] = None,
    card: CardOption = None,
    room: RoomOption = None,
    ram: RamOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """What to change so that it fits, with the least loss of quality; touches nothing."""
    from danzar.commands import resources_print
    from danzar.resources.wishes import Optimize

    given = {"resolution": resolution, "steps": steps, "duration": duration, "lora": lora}
    given |= {"batch": batch, "precision": precision, "offload": offload, "vae_tiling": vae_tiling}
    wish = Optimize(_params(model, given, text_on_cpu), within)
    answer = _ask(config, wish, _described(card, room, ram))
    if as_json:
        terminal.write_json(answer)
    else:
        resources_print.print_preflight(answer, terminal.console())
    if answer["verdict"] == "impossible":
        raise CannotPlace(answer["text"])


def _status(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """VRAM, RAM, CPU and disk now, and what the hardware can do."""
    from danzar.commands import resources_print
    from danzar.resources.wishes import Status

    answer = _ask(config, Status(), None)
    if as_json:
        terminal.write_json(answer)
    else:
        resources_print.print_status(answer, terminal.console())


def _cleanup(
    aggressive: Annotated[
        bool, typer.Option("--aggressive", help="Several times, and free pages as well.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Have the running bot give back memory that it does not use; models stay loaded."""
    from danzar.commands import resources_print
    from danzar.resources.wishes import Cleanup

    with terminal.busy("Cleaning up..."):
        answer = _ask(config, Cleanup(aggressive), None)
    if as_json:
        terminal.write_json(answer)
    else:
        resources_print.print_cleanup(answer, terminal.console())


def _profiles(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every model that can be reckoned with, and the source of each figure."""
    from danzar.commands import resources_print
    from danzar.config.load import load_config
    from danzar.resources.profiles import load_profiles

    profiles = load_profiles(load_config(config).folder)
    if as_json:
        terminal.write_json(profiles.model_dump(mode="json"))
    else:
        resources_print.print_profiles(profiles, terminal.console())


def _params(model: str, given: dict[str, Any], text_on_cpu: bool) -> dict[str, Any]:
    from danzar.commands.resources import params_of

    device = "cpu" if text_on_cpu else None
    return params_of({"model_type": model, **given, "text_encoder_device": device})


def _described(
    card: str | None, room: str | None = None, ram: str | None = None
) -> "Described | None":
    from danzar.commands.resources import Described
    from danzar.errors import BadInput

    if card is not None:
        return Described(card, room, ram)
    if room is not None or ram is not None:
        raise BadInput("--room and --ram go with --card")
    return None


def _ask(config: Path | None, wish: "AnyWish", described: "Described | None") -> dict[str, Any]:
    from danzar.commands import resources

    return asyncio.run(resources.ask(config, wish, described))
