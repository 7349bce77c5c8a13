"""The optimizer's answers for a person at a terminal. Pure, but for the console."""

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from danzar.commands.terminal import table
from danzar.core.device_text import short_name
from danzar.explain.model_text import amount

Json = dict[str, Any]


def print_status(answer: Json, console: Console) -> None:
    """Settings in a line, then cards, batches, the warm tier and what was done last."""
    config = answer["config"]
    state = "on" if config["enabled"] else "off"
    acting = "on" if answer["monitoring"] else "stopped"
    console.print(
        f"Optimizer {state}, monitoring {acting}, strategy {config['strategy']}, "
        f"batch {batch_text(answer)}",
        style="bold",
    )
    console.print(cards(answer["devices"]))
    if answer["batches"]:
        console.print(batches(answer["batches"]))
    for model in answer["warm"]:
        again = f"a load takes {model['reload_s']:.1f} s"
        console.print(f"warm: {model['model']}, {amount(model['size_bytes'])} in RAM, {again}")
    if answer["last"]:
        console.print(f"last: {result_line(answer['last'])}", soft_wrap=True)


def print_result(result: Json, console: Console) -> None:
    """What one optimization did."""
    console.print(result_line(result), soft_wrap=True)


def print_history(history: list[Json], console: Console) -> None:
    """One line for each, oldest first."""
    for result in history:
        console.print(result_line(result), soft_wrap=True)
    if not history:
        console.print("Nothing was done yet.")


def print_changes(answer: Json, console: Console, no_bot: str) -> None:
    """What changed, and where it is in force."""
    for line in answer["changes"] or ("nothing changed: it is so already",):
        console.print(line, soft_wrap=True)
    console.print("The running bot goes by it now." if answer["applied"] else no_bot, style="dim")


def print_bench(answer: Json, console: Console) -> None:
    """One row for each size, then how good the optimizer's choice was."""
    rows = table("model", "device", "batch", "pictures", "seconds", "pictures/s", "p50 a batch", "")
    for row in answer["rows"]:
        rows.add_row(*_bench_row(row))
    console.print(rows)
    console.print(
        f"\nMeasured with {answer['picture']}, {answer['duration_s']:.0f} s.", style="dim"
    )
    for choice in answer["choices"]:
        console.print(_choice_line(choice), soft_wrap=True)


def batch_text(answer: Json) -> str:
    """``8``, or ``8 (set by hand)``."""
    manual = answer["manual_batch_size"]
    return f"{answer['batch_size']}{'' if manual is None else f' (set to {manual} by hand)'}"


def cards(devices: list[Json]) -> Table:
    """One row for each GPU."""
    rows = table("device", "name", "used", "free", "total", "load", "fragmented", "batch", "best")
    for device in devices:
        mark = " (simulated)" if device["simulated"] else ""
        rows.add_row(
            device["device"],
            f"{short_name(device['name'])}{mark}",
            f"{amount(device['used_bytes'])}{_in_brackets(device['used_pct'])}",
            amount(device["free_bytes"]),
            amount(device["total_bytes"]),
            _load(device),
            _pct(device["fragmentation_pct"]),
            _number(device["current_batch_size"]),
            _number(device["optimal_batch_size"]),
        )
    return rows


def batches(sizes: list[Json]) -> Table:
    """One row for each loaded vision model."""
    rows = table("model", "device", "batch", "best", "fits", "why")
    for size in sizes:
        rows.add_row(
            size["model"],
            size["device"],
            str(size["size"]),
            _number(size["optimal"]),
            _number(size["limit"]),
            size["reason"] or "-",
        )
    return rows


def result_line(result: Json) -> str:
    """``16:40:02 trim+batch (120MB freed, batch 8 -> 12, 0.4 s): ...``."""
    done, freed = result["action_taken"], result["memory_freed_bytes"]
    size = "an unknown amount" if freed is None else amount(freed)
    before, after = result["batch_size_before"], result["batch_size_after"]
    at = datetime.fromisoformat(result["at"]).astimezone()
    parts = (
        "by itself" if result["automatic"] else "",
        "" if done in ("none", "batch") else f"{size} freed",
        ""
        if before is after is None or done == "none"
        else f"batch {_number(before)} -> {_number(after)}",
        f"{result['duration_s']:.1f} s" if result["duration_s"] else "",
    )
    failed = "" if result["success"] else "failed: "
    told = ", ".join(filter(None, parts))
    told = f" ({told})" if told else ""
    return f"{at:%H:%M:%S} {failed}{done}{told}: {result['reason']}"


def _bench_row(row: Json) -> tuple[str, ...]:
    if row["pictures_per_s"] is None:
        return (row["model"], row["device"] or "-", str(row["batch"]), "-", "-", "-", "-",
                f"skipped: {row['skipped']}")  # fmt: skip
    return (
        row["model"],
        f"{row['device']}{' (simulated)' if row['simulated'] else ''}",
        str(row["batch"]),
        str(row["pictures"]),
        f"{row['seconds']:.1f}",
        f"{row['pictures_per_s']:.1f}",
        f"{1000 * row['p50_s']:.0f} ms",
        "",
    )


def _choice_line(choice: Json) -> str:
    model, chosen = choice["model"], choice["chosen"]
    if choice["best"] is None:
        return f"{model}: nothing could be measured"
    share = choice["share_of_best"]
    quality = "not measured" if share is None else f"{100 * share:.0f} % of the best throughput"
    return f"{model}: the optimizer had chosen {chosen}, {quality} (best: {choice['best']})"


def _load(device: Json) -> str:
    busy, heat, power = device["utilisation_pct"], device["temperature_c"], device["power_w"]
    parts = (
        "" if busy is None else f"{busy:.0f}%",
        "" if heat is None else f"{heat:.0f} C",
        "" if power is None else f"{power:.0f} W",
    )
    return " ".join(filter(None, parts)) or "unknown"


def _in_brackets(share_pct: float | None) -> str:
    return "" if share_pct is None else f" ({share_pct:.0f}%)"


def _pct(share_pct: float | None) -> str:
    return "unknown" if share_pct is None else f"{share_pct:.0f}%"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
