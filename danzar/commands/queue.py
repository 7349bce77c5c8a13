"""``danzar queue``: who is served and who waits, as the running bot says."""

from typing import Any

from rich.console import Console

from danzar.commands.terminal import table

Json = dict[str, Any]


def print_queue(answer: Json, console: Console) -> None:
    """One row for each request that runs or waits."""
    rows = table("model", "place", "number", "class", "person", "waited", "to go", "bound")
    for queue in answer["queues"]:
        for row in queue["running"]:
            now = f"runs {row['for_s']:.0f} s"
            rows.add_row(queue["model"], now, *_who(row), f"{row['waited_s']:.0f} s", "-", "-")
        for row in queue["waiting"]:
            rows.add_row(queue["model"], str(row["position"]), *_who(row), *_times(row))
    if rows.row_count:
        console.print(rows)
    else:
        console.print("Nothing is being answered, and nobody waits.")


def _who(row: Json) -> tuple[str, str, str]:
    return f"#{row['number']}", row["class"], "-" if row["person"] is None else str(row["person"])


def _times(row: Json) -> tuple[str, str, str]:
    to_go = "?" if row["expected_s"] is None else f"{row['expected_s']:.0f} s"
    late = " (late)" if row["late"] else ""
    return f"{row['waited_s']:.0f} s", to_go, f"{row['bound_s']:.0f} s{late}"
