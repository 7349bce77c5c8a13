"""Looks at the keys of the queue: for ``danzar doctor`` and ``danzar keys``. Prints nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from danzar.commands.doctor_finding import FAIL, OK, WARN, Finding, Level
from danzar.config.load import load_config
from danzar.config.places import key_folder, keys_home
from danzar.config.settings import Config
from danzar.keys.address import probe_queue, queue_address
from danzar.keys.errors import KeysError
from danzar.keys.expiry import Expiry, read_expiries
from danzar.keys.home import HOME_FILE, certificate_files, read_facts
from danzar.keys.home_files import HomeFacts
from danzar.keys.node_folder import CERTIFICATE_FILE, read_node_folder
from danzar.keys.own_certificates import remedy, server_certificates
from danzar.keys.queue_url import QueueUrl

_LEVELS: Final[dict[str, Level]] = {"good": OK, "soon": WARN, "expired": FAIL}


@dataclass(frozen=True, slots=True)
class Overview:
    """What a home of keys holds."""

    home: Path
    facts: HomeFacts
    expiries: Sequence[Expiry]

    def to_json(self) -> dict[str, Any]:
        """As in docs/json.md."""
        return {
            "folder": str(self.home),
            "hosts": list(self.facts.hosts),
            "port": self.facts.port,
            "nodes": list(self.facts.nodes),
            "operators": list(self.facts.operators),
            "certificates": [
                {"name": each.name, "expires": each.expires.isoformat(), "health": each.health}
                for each in self.expiries
            ],
        }


def home_folder(out: Path | None, config_folder: Path | None) -> Path:
    """Where all keys are: as named, or with the data of the settings."""
    if out is not None:
        return out.expanduser().absolute()
    return keys_home(load_config(config_folder))


def overview(home: Path, now: datetime) -> Overview:
    """What the home holds.

    Raises:
        danzar.keys.errors.KeyFileBad: It is none, or damaged.
    """
    facts = read_facts(home)
    return Overview(home, facts, read_expiries(certificate_files(home, facts), now))


def check_keys(config: Config | None) -> list[Finding]:
    """For the doctor: the queue's address, certificates of this node and its servers, all keys."""
    if config is None:
        return []
    now = datetime.now(UTC)
    findings = [*_check_address(config, now), *_check_servers(config, now)]
    home = keys_home(config)
    if not (home / HOME_FILE).exists():
        return findings
    try:
        return [*findings, *(to_finding(each) for each in overview(home, now).expiries)]
    except KeysError as exc:
        return [*findings, Finding(FAIL, "keys", str(exc))]


def _check_servers(config: Config, now: datetime) -> list[Finding]:
    try:
        return [to_finding(each) for each in read_expiries(server_certificates(config), now)]
    except (KeysError, OSError) as exc:
        return [Finding(FAIL, "certificate", str(exc))]


def _check_address(config: Config, now: datetime) -> list[Finding]:
    folder = key_folder(config)
    try:
        address = queue_address(config.bot.jobs.url, folder)
    except KeysError as exc:
        return [Finding(FAIL, "queue", str(exc))]
    if address.is_memory:
        return []
    findings = [] if folder is None else check_node_folder(folder, now, connect=False)
    named = config.bot.node.name
    if folder is not None and named is not None and named != address.user:
        text = f"node.name is {named}, but the keys in {folder} are those of {address.user}"
        findings.append(Finding(FAIL, "node", text, f"set node.name to {address.user}"))
    return [*findings, _knock(address)]


def check_node_folder(folder: Path, now: datetime, *, connect: bool) -> list[Finding]:
    """Whether the folder is whole and, if asked, whether the queue lets its owner in."""
    try:
        keys = read_node_folder(folder, now)
        (expiry,) = read_expiries({keys.node: keys.folder / CERTIFICATE_FILE}, now)
    except KeysError as exc:
        return [Finding(FAIL, "keys", str(exc))]
    findings = [to_finding(expiry)]
    if connect:
        findings.append(_knock(queue_address(None, folder)))
    return findings


def to_finding(expiry: Expiry) -> Finding:
    """How good one certificate is."""
    name = f"certificate of {expiry.name}"
    if expiry.exposed:
        text = "others on this machine can read its private key"
        return Finding(FAIL, name, text, "chmod -R go= on that folder, then: danzar keys renew")
    text = f"{'ended' if expiry.health == 'expired' else 'good until'} {expiry.expires:%Y-%m-%d}"
    what_to_do = "" if expiry.health == "good" else remedy(expiry.name)
    return Finding(_LEVELS[expiry.health], name, text, what_to_do)


def _knock(address: QueueUrl) -> Finding:
    try:
        asyncio.run(probe_queue(address))
    except KeysError as exc:
        return Finding(FAIL, "queue", str(exc))
    return Finding(OK, "queue", f"{address.shown} lets this machine in")
