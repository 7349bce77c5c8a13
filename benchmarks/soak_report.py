"""The account of a soak, from the files that it wrote; works while it still runs."""

import json
import re
import statistics
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.soak_analysis import Growth, Verdict, below, growth, worst
from benchmarks.soak_lives import MB, Life, Role, roles
from danzar.maintenance.inventory import kind_of

SLOPE_LIMIT_MB_PER_H = 1.0
LAG_LIMIT_S = 0.050
MIN_SAMPLES = 20
_TROUBLE = ("lost", "error")
_LOG_LINE = re.compile(r"^\S+ \S+ (WARNING|ERROR|CRITICAL) (\S+): (.*)")
_SHORT_S = 60.0
Json = dict[str, Any]


def read(folder: Path, name: str) -> list[Json]:
    """The whole lines of one file."""
    file = folder / name
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]


def log_counts(file: Path) -> Json:
    """How many warnings and errors each logger wrote, and the first text of each."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = _LOG_LINE.match(line)
            if found:
                counts[f"{found[1]} {found[2]}"] += 1
                first.setdefault(f"{found[1]} {found[2]}", found[3][:200])
    return {"counts": dict(counts), "first": first}


def print_report(folder: Path, warm_up_s: float | None = None) -> dict[str, Verdict]:
    """Everything, for the terminal; the verdict on each figure.

    Args:
        folder: What the soak wrote.
        warm_up_s: What does not count; ``None``: as the soak was told.
    """
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    samples, acts = read(folder, "samples.jsonl"), read(folder, "acts.jsonl")
    if not samples:
        print(f"nothing was sampled yet in {folder}")
        return {}
    warm_up_s = meta["warm_up_s"] if warm_up_s is None else warm_up_s
    warm = [s for s in samples if s["at_s"] >= warm_up_s]
    span_s = samples[-1]["at_s"]
    print(
        f"began {meta['began']}, {span_s / 60:.0f} min sampled, of which {warm_up_s / 60:.0f} "
        f"to warm up; rate {meta['rate']:g}; machine's load "
        f"{statistics.median(s['load'] for s in samples):.1f} (median)"
    )
    verdicts = {
        "memory is flat": _print_roles(roles(samples, warm_up_s)),
        "files are bounded": _print_files(warm),
        "event loop": _print_lag(warm),
        "nothing is lost": _print_acts(acts, read(folder, "end.jsonl")),
    }
    _print_log(folder)
    print("\nVerdicts")
    for name, verdict in verdicts.items():
        print(f"  {name:20} {verdict}")
    return verdicts


def _print_roles(found: list[Role]) -> Verdict:
    print("\nMemory of every process, MB and MB/h: least squares [95 %] Theil-Sen")
    columns = f"{'its own':^30}  {'least of each 5 min':^30}  {'with mapped files':^30}"
    print(f"  {'':26} lives judged    now   peak  {columns}")
    for role in found:
        judged_s = sum(life.warm_s for life in role.lives)
        peak_bytes = max(life.peak_bytes for life in role.lives)
        slopes = "  ".join(_slope(role.memory[kind]) for kind in ("own", "floor", "rss"))
        print(
            f"  {role.name:26} {len(role.lives):4} {judged_s / 60:5.0f} m "
            f"{role.lives[-1].last['own'] / MB:6.1f} {peak_bytes / MB:6.1f}  "
            f"{slopes}  {_flat(role)}"
        )
    _print_uncached([role for role in found if role.memory["uncached"] is not None])
    _print_counts([role.lives[-1] for role in found])
    return worst([_flat(role) for role in found if role.lives[-1].lived_s >= _SHORT_S])


def _flat(role: Role) -> Verdict:
    return below(role.memory["own"], SLOPE_LIMIT_MB_PER_H)


def _print_uncached(found: list[Role]) -> None:
    """What is left of a chat model's growth without the conversations that it keeps on purpose."""
    for role in found:
        cached = [p["cached"] / MB for life in role.lives for _, p in life.warm if "cached" in p]
        slopes = (_slope(role.memory[kind]) for kind in ("uncached", "uncached floor"))
        kept = f"{min(cached):.1f} to {max(cached):.1f} MB of conversations it keeps"
        print(f"  {role.name}, without the {kept}; the least of that:")
        print(f"  {'':47} {'  '.join(slopes)}")


def _print_counts(latest: list[Life]) -> None:
    print("\nHandles and threads of the latest, after its warm-up and now; share of one core")
    for life in latest:
        first = life.warm[0][1] if life.warm else life.last
        handles, threads = (f"{first[k]}→{life.last[k]}" for k in ("handles", "threads"))
        print(f"  {life.role:26} {handles:>9} {threads:>8} {100 * life.cpu_share:4.0f} %")


def _slope(found: Growth | None) -> str:
    if found is None:
        return "too short".center(30)
    interval = f"[{found.low:+6.2f} {found.high:+6.2f}]"
    return f"{found.least_squares:+6.2f} {interval} {found.theil_sen:+6.2f}"


def _print_files(warm: list[Json]) -> Verdict:
    """Each file's growth, and what bounds it; all must be in Danzar's own inventory."""
    print("\nFiles after the warm-up, kB")
    names = sorted({name for sample in warm for name in sample["files"]})
    unknown = []
    for name in names:
        points = [(s["at_s"], s["files"][name] / 1000) for s in warm if name in s["files"]]
        sizes = [size for _, size in points]
        found = growth([points])
        rate = " " * 13 if found is None else f"{found.theil_sen:+8.1f} kB/h"
        kind = kind_of(PurePosixPath(*PurePosixPath(name).parts[1:]))
        unknown += [name] if kind is None else []
        print(
            f"  {name:34} {sizes[0]:8.1f} → {sizes[-1]:8.1f}, most {max(sizes):8.1f} {rate}  "
            f"{'NO LIMIT IS KNOWN' if kind is None else kind.bound}"
        )
    if len(warm) < MIN_SAMPLES:
        return Verdict.OPEN
    return Verdict.NOT_MET if unknown else Verdict.MET


def _print_lag(warm: list[Json]) -> Verdict:
    lags = sorted(
        s["status"]["lag_p99_s"]
        for s in warm
        if s["status"] is not None and s["status"]["lag_p99_s"] is not None
    )
    silent = sum(s["status"] is None for s in warm)
    if len(lags) < MIN_SAMPLES:
        print(f"\nEvent loop: {len(lags)} samples, too few")
        return Verdict.OPEN
    late = sum(lag >= LAG_LIMIT_S for lag in lags)
    print(
        f"\nEvent loop of the bot, p99 of each last minute: median {_ms(statistics.median(lags))}, "
        f"95th percentile {_ms(lags[int(len(lags) * 0.95)])}, worst {_ms(lags[-1])}; "
        f"{late} of {len(lags)} samples at or above {_ms(LAG_LIMIT_S)}; no answer {silent} times"
    )
    return Verdict.NOT_MET if late else Verdict.MET


def _ms(value_s: float) -> str:
    return f"{1000 * value_s:.1f} ms"


def _print_acts(acts: list[Json], ends: list[Json]) -> Verdict:
    print("\nWhat was asked, and what became of it")
    by_act: dict[str, Counter[str]] = defaultdict(Counter)
    for act in acts:
        by_act[act["act"]][act["outcome"]] += 1
    for name, outcomes in sorted(by_act.items()):
        took = sorted(a["took_s"] for a in acts if a["act"] == name)
        told = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common())
        print(f"  {name:20} {told} (median {statistics.median(took):.1f} s, most {took[-1]:.1f} s)")
    bad = [act for act in acts if act["outcome"] in _TROUBLE]
    for act in bad[:20]:
        print(f"  ! {act['act']} at {act['at_s']:.0f} s: {act['outcome']}: {act['text'][:150]!r}")
    refusals = Counter(a["text"][:100] for a in acts if a["outcome"] in ("refused", "failed"))
    for text, count in refusals.most_common(8):
        print(f"  refused {count}x: {text!r}")
    if not ends:
        return Verdict.NOT_MET if bad else Verdict.OPEN
    audit = ends[-1]["audit"]
    print(
        f"  jobs looked at again at the end: {audit['ended']} ended once, without an end "
        f"{len(audit['open'])}, changed after their end {len(audit['changed'])}; "
        f"{ends[-1]['alerts']} messages in the alert channel"
    )
    return Verdict.NOT_MET if bad or audit["open"] or audit["changed"] else Verdict.MET


def _print_log(folder: Path) -> None:
    log_file = folder / "home" / "demo.log"
    if not log_file.exists():
        return
    told = log_counts(log_file)
    print("\nWarnings and errors in the bot's log")
    for name, count in sorted(told["counts"].items(), key=lambda item: -item[1]):
        print(f"  {count:5} {name}: {told['first'][name]}")
