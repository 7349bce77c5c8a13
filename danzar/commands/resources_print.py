"""What ``danzar resources`` shows on the terminal."""

from typing import Any

from rich.console import Console

from danzar.commands.terminal import table
from danzar.core.device_text import short_name
from danzar.resources.schema import Profiles
from danzar.resources.words import time_text, value_text
from danzar.units import format_size

Json = dict[str, Any]
_PHASES = {"encode": "reading the text", "denoise": "denoising", "decode": "decoding"}


def print_requirement(needs: Json, console: Console) -> None:
    """What it needs in all, then the device phase by phase, then what is assumed."""
    frames = f", {needs['frames']} frames" if needs["frames"] > 1 else ""
    title = f"{needs['model_type']} {needs['size']}{frames}, {needs['steps']} steps"
    sums = table(title, "needs", "")
    on_card = needs["device"] == "cuda"
    if on_card:
        sums.add_row("VRAM", format_size(needs["vram_bytes"]), needs["vram_source"])
    sums.add_row("RAM", format_size(needs["ram_bytes"]), "estimate")
    sums.add_row("disk", format_size(needs["disk_bytes"]), "for the result, estimate")
    sums.add_row("model files", format_size(needs["weights_bytes"]), "the weights, computed")
    threads = needs["cpu_threads"]
    sums.add_row("CPU", f"{threads} thread{'s' if threads > 1 else ''}", "that work all the time")
    sums.add_row("time", time_text(needs["estimated_time_seconds"]), needs["time_source"])
    console.print(sums)
    console.print()
    rows = table("on the card while" if on_card else "in RAM while", "weights", "activations",
                 "overhead", "total")  # fmt: skip
    for phase in needs["phases"]:
        keys = ("weights_bytes", "activations_bytes", "overhead_bytes", "total_bytes")
        rows.add_row(_PHASES[phase["name"]], *(format_size(phase[key]) for key in keys))
    console.print(rows)
    if needs["assumptions"]:
        console.print(f"\nAssumed: {'; '.join(needs['assumptions'])}.", style="dim")


def print_check(answer: Json, console: Console) -> None:
    """One line."""
    console.print(f"{'yes' if answer['available'] else 'no'}: {answer['message']}", soft_wrap=True)


def print_preflight(answer: Json, console: Console) -> None:
    """The verdict, each change with its reason, and what it needs then."""
    console.print(answer["text"], style="bold", soft_wrap=True)
    if answer["suggestions"]:
        console.print()
        rows = table("parameter", "from", "to", "loss", "saves")
        for change in answer["suggestions"]:
            before = value_text(change["current_value"])
            after = value_text(change["suggested_value"])
            loss = change["quality_impact"]
            rows.add_row(change["parameter"], before, after, loss, change["effect"])
        console.print(rows)
        console.print()
        for change in answer["suggestions"]:
            console.print(f"{change['parameter']}: {change['reason']}", soft_wrap=True)
    needs = answer["requirement"]
    nearest = "With the least that it needs" if answer["verdict"] == "impossible" else "Needs"
    console.print(
        f"\n{nearest}: {format_size(needs['vram_bytes'])} of VRAM, "
        f"{format_size(needs['ram_bytes'])} of RAM, {format_size(needs['disk_bytes'])} of disk, "
        f"{time_text(needs['estimated_time_seconds'])} ({needs['time_source']})",
        style="dim",
        soft_wrap=True,
    )


def print_status(answer: Json, console: Console) -> None:
    """The cards, then the host, then what the hardware can do."""
    now, hardware = answer["now"], answer["hardware"]
    sizes = ("free", "total", "allocated", "cached", "driver", "room")
    cards = table("device", "name", *sizes, "computes in")
    can = {card["device"]: card for card in hardware["cards"]}
    for card in now["cards"]:
        mark = " (simulated)" if card["simulated"] else ""
        figures = (_size(card[f"{name}_bytes"]) for name in sizes)
        known = _computes(can.get(card["device"]))
        cards.add_row(card["device"], f"{short_name(card['name'])}{mark}", *figures, known)
    console.print(cards if now["cards"] else "No GPU is known here.")
    cpu = "unknown" if now["cpu_pct"] is None else f"{now['cpu_pct']:.0f}%"
    features = hardware["cpu_features"]
    host = table("host", "")
    available, total = _size(now["ram_available_bytes"]), _size(now["ram_total_bytes"])
    host.add_row("RAM", f"{available} of {total} available")
    cores = hardware["cpu_cores"] or "unknown"
    host.add_row("CPU", f"{cpu} busy; {cores} cores, {hardware['cpu_threads']} threads")
    host.add_row("", "features unknown" if features is None else ", ".join(features) or "no AVX")
    free, size = _size(now["disk_free_bytes"]), _size(now["disk_total_bytes"])
    host.add_row("disk", f"{free} of {size} free, for {now['disk_folder']}")
    console.print()
    console.print(host)
    least = answer["lows"]
    if least["readings"]:
        told = [f"{device} {format_size(n)}" for device, n in least["free_bytes"].items()]
        told += [f"RAM {_size(least['ram_available_bytes'])}"]
        told += [f"disk {_size(least['disk_free_bytes'])}"]
        kept = f"Least free in {least['readings']} readings of the monitor"
        console.print(f"\n{kept}: {', '.join(told)}", style="dim")


def print_cleanup(answer: Json, console: Console) -> None:
    """Bytes freed, by process; then by device."""
    rows = table("process", "device", "freed", "of")
    for row in answer["rows"]:
        freed = row["error"] or _size(row["freed_bytes"])
        rows.add_row(row["process"], row["device"], freed, _memory(row["memory"]))
    console.print(rows)
    freed = ", ".join(f"{format_size(n)} of {_memory(d)}" for d, n in answer["freed_bytes"].items())
    kind = "aggressive" if answer["aggressive"] else "normal"
    console.print(f"\nFreed ({kind}): {freed or 'unknown'}", style="bold")


def print_profiles(profiles: Profiles, console: Console) -> None:
    """Every model: what it makes, and what others measured."""
    rows = table("model", "makes", "sizes", "parameters", "published")
    for name, profile in profiles.models.items():
        net = profile.denoiser
        billions = net.parameters.value * net.experts.value / 1e9
        said = "; ".join(f"{p.says} [{p.source}]" for p in profile.published) or "-"
        rows.add_row(name, profile.task, ", ".join(profile.sizes[:4]), f"{billions:.2f} B", said)
    console.print(rows)
    console.print()
    sources = table("source", "kind", "what it is")
    for name, source in profiles.sources.items():
        sources.add_row(name, source.kind, f"{source.text} {source.url or ''}".strip())
    console.print(sources)


def _memory(device: str) -> str:
    return "RAM" if device == "cpu" else f"VRAM of {device}"


def _size(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else format_size(size_bytes)


def _computes(card: Json | None) -> str:
    if card is None or card["compute_capability"] is None:
        return "unknown"
    kinds = [name for name in ("bf16", "fp8") if card[name]] or ["fp16"]
    source = "" if card["by_driver"] else ", by its name"
    return f"{', '.join(kinds)} (sm {card['compute_capability']}{source})"
