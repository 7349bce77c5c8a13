"""``danzar keys init|node|renew|remove|show|check``: what they print. No secret is ever printed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from danzar.commands import terminal
from danzar.commands.doctor import print_findings
from danzar.commands.doctor_finding import FAIL, Finding
from danzar.commands.doctor_keys import (
    Overview,
    check_node_folder,
    home_folder,
    overview,
    to_finding,
)
from danzar.errors import DanzarError
from danzar.keys.home import node_home, server_conf
from danzar.keys.home_files import HomeFacts
from danzar.keys.operators import OPERATORS_FILE


def print_overview(shown: Overview, console: Console) -> None:
    """A line for each certificate."""
    facts = shown.facts
    console.print(f"Keys in {shown.home}", soft_wrap=True)
    console.print(f"Redis: {', '.join(facts.hosts)}, port {facts.port} (TLS)", soft_wrap=True)
    table = terminal.table("certificate", "good until", "")
    for each in shown.expiries:
        role = "may command nodes" if each.name in facts.operators else ""
        note = role if each.health == "good" else f"{each.health}: danzar keys renew"
        table.add_row(each.name, f"{each.expires:%Y-%m-%d}", note)
    console.print(table)


def print_next_steps(home: Path, facts: HomeFacts) -> None:
    """What to type next, after ``init``."""
    console = terminal.console()
    main, *others = facts.nodes
    say(console, f"Made keys for Redis and {', '.join(facts.nodes)} in {home}")
    say(console, "1. Start Redis (7.0 or newer) on this machine:")
    say(console, f"     redis-server {quoted(server_conf(home))}")
    say(console, "2. Use it here, in config/bot_config.yaml:")
    say(console, "     jobs:")
    say(console, f"       keys: {quoted(node_home(home, main))}")
    say(console, "     node:")
    say(console, f"       name: {main}")
    for node in others:
        say(console, f"3. Carry {node_home(home, node)} to {node} (a stick, scp), and type there:")
        say(console, f"     danzar node --keys {node}")
    say(console, f"Keep {home / 'ca'} to yourself: whoever has it can let machines in.")


def print_changed(
    home: Path, facts: HomeFacts, changed: Sequence[str], operators_before: bytes
) -> None:
    """What to do after a node's keys changed."""
    console = terminal.console()
    say(console, f"Nodes now: {', '.join(facts.nodes)}. Restart Redis, so that it knows that:")
    say(console, f"     redis-server {quoted(server_conf(home))}")
    for node in changed:
        say(console, f"Carry {node_home(home, node)} to {node}; its old folder is no longer good.")
    others = [node for node in facts.nodes if node not in changed]
    if others and operators_bytes(home) != operators_before:
        file = home / OPERATORS_FILE
        say(console, f"Carry {file} to {', '.join(others)} too, into the folder of their keys.")


def operators_bytes(home: Path) -> bytes:
    """Who may command now; empty where there is no home of keys."""
    file = home / OPERATORS_FILE
    return file.read_bytes() if file.exists() else b""


def check(
    out: Path | None, folder: Path | None, config_folder: Path | None, *, connect: bool
) -> list[Finding]:
    """What is wrong with a home of keys, or with one node's folder."""
    now = datetime.now(UTC)
    if folder is not None:
        return check_node_folder(folder, now, connect=connect)
    shown = overview(home_folder(out, config_folder), now)
    findings = [to_finding(each) for each in shown.expiries]
    if connect:
        main = node_home(shown.home, shown.facts.nodes[0])
        findings.extend(check_node_folder(main, now, connect=True))
    return findings


def print_check(findings: Sequence[Finding], console: Console) -> None:
    """Each finding.

    Raises:
        DanzarError: One of them is a failure.
    """
    print_findings(findings, console)
    failed = [finding for finding in findings if finding.level == FAIL]
    if failed:
        raise DanzarError(f"{len(failed)} of {len(findings)} checks failed: {failed[0].name}")


def say(console: Console, text: str) -> None:
    """One line that may be copied whole."""
    console.print(text, soft_wrap=True)


def quoted(path: Path) -> str:
    """The path as it can be typed."""
    text = str(path)
    return f'"{text}"' if " " in text else text
