"""The folder that ``danzar keys init`` makes, and what may be done with it later. Blocks.

    keys.json              what was wished: no secrets
    ca/                    the authority; stays at home
    server/                redis.conf, users.acl, certificate: where Redis runs
    nodes/NAME/            one to carry to each node

Every change is worked out whole before the first file is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from danzar.keys import acl
from danzar.keys.authority import Pair, hosts_of, make_authority, read_certificate
from danzar.keys.errors import KeyFileBad
from danzar.keys.home_files import (
    CONF_FILE,
    NODES,
    SERVER,
    SERVER_CERTIFICATE,
    Change,
    HomeFacts,
    put_node,
    put_server,
)
from danzar.keys.node_folder import CA_FILE, CERTIFICATE_FILE
from danzar.keys.operators import OPERATORS_FILE, operators_text, read_operators
from danzar.keys.private_files import check_absent, read_private, write_private
from danzar.keys.queue_url import TLS_PORT, is_host

HOME_FILE: Final = "keys.json"
AUTHORITY: Final = "the authority"
DEFAULT_MAIN: Final = "main"
_CA: Final = "ca"
_CA_KEY: Final = "ca.key"
_ACL_FILE: Final = "users.acl"


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``init`` is asked for; the first node is the main one, which may command."""

    hosts: tuple[str, ...]
    nodes: tuple[str, ...] = (DEFAULT_MAIN,)
    port: int = TLS_PORT


def init_home(home: Path, wish: Wish, now: datetime, *, force: bool = False) -> HomeFacts:
    """Make everything: an authority, the server's folder, and one for each node.

    Raises:
        KeyFileBad: Something stands there and ``force`` is not given, a name can't be one, or
            the disk fails.
    """
    nodes = tuple(dict.fromkeys(acl.check_name(node) for node in wish.nodes))
    _check_hosts(wish.hosts)
    facts = HomeFacts(wish.hosts, wish.port, nodes, nodes[:1])
    change = Change(facts, make_authority(now), {}, {})
    change.files[f"{_CA}/{CA_FILE}"] = change.authority.certificate
    change.files[f"{_CA}/{_CA_KEY}"] = change.authority.key
    put_server(change, home.absolute(), now)
    for node in nodes:
        put_node(change, node, now)
    if not force:
        check_absent([home / HOME_FILE, *(home / name for name in change.files)])
    _write(change, home)
    return facts


def add_node(
    home: Path, node: str, now: datetime, *, operator: bool = False, force: bool = False
) -> HomeFacts:
    """Make the folder of one more node, or with ``force`` a new one for a node that is there.

    Raises:
        KeyFileBad: There are no keys to add to, the node is there already, or a file is damaged.
    """
    acl.check_name(node)
    change = _read(home)
    if node in change.facts.nodes and not force:
        raise KeyFileBad(
            f"{node} has keys already; nothing was changed (--force makes new ones, "
            "and the old ones are no longer good)"
        )
    facts = change.facts
    commands = operator or node in facts.operators
    change.facts = msgspec.structs.replace(
        facts,
        nodes=tuple(dict.fromkeys((*facts.nodes, node))),
        operators=tuple(dict.fromkeys((*facts.operators, node))) if commands else facts.operators,
    )
    put_node(change, node, now)
    _write(change, home)
    return change.facts


def remove_node(home: Path, node: str) -> HomeFacts:
    """Take a node's user and its right to command away; its files stay where they were carried.

    Raises:
        KeyFileBad: There is no such node, or a file is damaged.
    """
    change = _read(home)
    _check_known(change.facts, node)
    change.users.pop(node, None)
    change.operators.pop(node, None)
    change.facts = msgspec.structs.replace(
        change.facts,
        nodes=tuple(each for each in change.facts.nodes if each != node),
        operators=tuple(each for each in change.facts.operators if each != node),
    )
    _write(change, home)
    return change.facts


def renew(home: Path, names: Sequence[str], also: Sequence[str], now: datetime) -> HomeFacts:
    """New keys, certificates and passwords, from the same authority; the old passwords end.

    Args:
        home: Made by ``init_home``.
        names: Nodes, or ``server``; none: all of them.
        also: Further addresses or names for the server.
        now: From when on they are good.

    Raises:
        KeyFileBad: A name is unknown, or a file is missing or damaged.
    """
    change = _read(home)
    chosen = tuple(names) or (SERVER, *change.facts.nodes)
    _check_hosts(also)
    hosts = tuple(dict.fromkeys((*change.facts.hosts, *also)))
    change.facts = msgspec.structs.replace(change.facts, hosts=hosts)
    for name in chosen:
        if name == SERVER:
            put_server(change, home.absolute(), now)
            continue
        _check_known(change.facts, name)
        put_node(change, name, now)
    _write(change, home)
    return change.facts


def read_facts(home: Path) -> HomeFacts:
    """What the home holds.

    Raises:
        KeyFileBad: It is no home of keys.
    """
    file = home / HOME_FILE
    if not file.exists():
        raise KeyFileBad(f"there are no keys in {home}; make them: danzar keys init --host ADDRESS")
    try:
        return msgspec.json.decode(read_private(file), type=HomeFacts)
    except msgspec.DecodeError as exc:
        raise KeyFileBad(f"{file} is damaged: {exc}") from exc


def certificate_files(home: Path, facts: HomeFacts) -> Mapping[str, Path]:
    """The certificates in the home, by what a person calls them."""
    files = {AUTHORITY: home / _CA / CA_FILE, SERVER: home / SERVER / SERVER_CERTIFICATE}
    return files | {node: node_home(home, node) / CERTIFICATE_FILE for node in facts.nodes}


def node_home(home: Path, node: str) -> Path:
    """The folder that is carried to the node."""
    return home / NODES / node


def server_conf(home: Path) -> Path:
    """What Redis is started with."""
    return home / SERVER / CONF_FILE


def served_hosts(home: Path) -> tuple[str, ...]:
    """What the server's certificate is for."""
    file = home / SERVER / SERVER_CERTIFICATE
    return hosts_of(read_certificate(read_private(file), str(file)))


def _check_hosts(hosts: Sequence[str]) -> None:
    for host in hosts:
        if not is_host(host):
            raise KeyFileBad(f"{host!r} is no address or name of a machine, like 192.168.1.10")


def _check_known(facts: HomeFacts, node: str) -> None:
    if node not in facts.nodes:
        raise KeyFileBad(f"there is no node {node!r} here; known: {', '.join(facts.nodes)}")


def _read(home: Path) -> Change:
    facts = read_facts(home)
    authority = Pair(read_private(home / _CA / CA_FILE), read_private(home / _CA / _CA_KEY))
    users = acl.users_of(read_private(home / SERVER / _ACL_FILE).decode(errors="replace"))
    operators = dict(read_operators(home / OPERATORS_FILE))
    return Change(facts, authority, operators, users)


def _write(change: Change, home: Path) -> None:
    """All files; what depends on every node is made anew each time."""
    operators = operators_text(change.operators)
    change.files[OPERATORS_FILE] = operators
    change.files[f"{SERVER}/{_ACL_FILE}"] = acl.acl_file(change.users.values()).encode()
    for node in change.facts.nodes:
        change.files[f"{NODES}/{node}/{OPERATORS_FILE}"] = operators
    for path, content in change.files.items():
        folder, _, name = path.rpartition("/")
        write_private(home / folder, {name: content})
    write_private(home / SERVER / "data", {})
    write_private(home, {HOME_FILE: msgspec.json.encode(change.facts)})
