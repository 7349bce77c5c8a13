"""The folder that ``danzar keys init`` makes, and what may be done with it later. Blocks.

    keys.json              what was wished: no secrets
    ca/                    the authority; stays at home
    server/                redis.conf, users.acl, certificate: where Redis runs
    nodes/NAME/            one to carry to each node

Every change is worked out whole before the first file is written.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec

from danzar.keys import acl
from danzar.keys.authority import (
    Pair,
    hosts_of,
    make_authority,
    make_node_certificate,
    make_server_certificate,
    read_certificate,
)
from danzar.keys.commands import new_operator_key
from danzar.keys.errors import KeyFileBad
from danzar.keys.node_folder import CA_FILE, CERTIFICATE_FILE, ENV_FILE, KEY_FILE, URL_FILE
from danzar.keys.operators import (
    OPERATOR_KEY_FILE,
    OPERATORS_FILE,
    operator_key_pem,
    operators_text,
    read_operators,
)
from danzar.keys.private_files import check_absent, read_private, write_private
from danzar.keys.queue_url import TLS_PORT, is_host, with_login
from danzar.keys.redis_conf import redis_conf

HOME_FILE: Final = "keys.json"
SERVER: Final = "server"
DEFAULT_MAIN: Final = "main"
_CA: Final = "ca"
_NODES: Final = "nodes"
_CA_KEY: Final = "ca.key"
_SERVER_CERTIFICATE: Final = "server.crt"
_SERVER_KEY: Final = "server.key"
_ACL_FILE: Final = "users.acl"
_CONF_FILE: Final = "redis.conf"
_PASSWORD_BYTES: Final = 32
_LOOPBACK: Final = ("127.0.0.1", "localhost")

Files = dict[str, bytes]


class HomeFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``keys.json`` holds.

    Attributes:
        hosts: Addresses and names of the machine with Redis; clients use the first.
        operators: Nodes that may command others.
    """

    hosts: tuple[str, ...]
    port: int
    nodes: tuple[str, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``init`` is asked for; the first node is the main one, which may command."""

    hosts: tuple[str, ...]
    nodes: tuple[str, ...] = (DEFAULT_MAIN,)
    port: int = TLS_PORT


@dataclass(slots=True)
class _Change:
    """Files by their path below the home, and users by name, before anything is written."""

    facts: HomeFacts
    authority: Pair
    operators: dict[str, bytes]
    users: dict[str, str]
    files: Files = field(default_factory=dict)


def init_home(home: Path, wish: Wish, now: datetime, *, force: bool = False) -> HomeFacts:
    """Make everything: an authority, the server's folder, and one for each node.

    Raises:
        KeyFileBad: Something stands there and ``force`` is not given, a name can't be one, or
            the disk fails.
    """
    nodes = tuple(dict.fromkeys(acl.check_name(node) for node in wish.nodes))
    _check_hosts(wish.hosts)
    facts = HomeFacts(wish.hosts, wish.port, nodes, nodes[:1])
    change = _Change(facts, make_authority(now), {}, {})
    change.files[f"{_CA}/{CA_FILE}"] = change.authority.certificate
    change.files[f"{_CA}/{_CA_KEY}"] = change.authority.key
    _put_server(change, home, now)
    for node in nodes:
        _put_node(change, home, node, now)
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
    _put_node(change, home, node, now)
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
            _put_server(change, home, now)
            continue
        _check_known(change.facts, name)
        _put_node(change, home, name, now)
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
    files = {"the authority": home / _CA / CA_FILE, SERVER: home / SERVER / _SERVER_CERTIFICATE}
    return files | {node: node_home(home, node) / CERTIFICATE_FILE for node in facts.nodes}


def node_home(home: Path, node: str) -> Path:
    """The folder that is carried to the node."""
    return home / _NODES / node


def server_conf(home: Path) -> Path:
    """What Redis is started with."""
    return home / SERVER / _CONF_FILE


def served_hosts(home: Path) -> tuple[str, ...]:
    """What the server's certificate is for."""
    file = home / SERVER / _SERVER_CERTIFICATE
    return hosts_of(read_certificate(read_private(file), str(file)))


def _check_hosts(hosts: Sequence[str]) -> None:
    for host in hosts:
        if not is_host(host):
            raise KeyFileBad(f"{host!r} is no address or name of a machine, like 192.168.1.10")


def _check_known(facts: HomeFacts, node: str) -> None:
    if node not in facts.nodes:
        raise KeyFileBad(f"there is no node {node!r} here; known: {', '.join(facts.nodes)}")


def _read(home: Path) -> _Change:
    facts = read_facts(home)
    authority = Pair(read_private(home / _CA / CA_FILE), read_private(home / _CA / _CA_KEY))
    users = acl.users_of(read_private(home / SERVER / _ACL_FILE).decode(errors="replace"))
    operators = dict(read_operators(home / OPERATORS_FILE))
    return _Change(facts, authority, operators, users)


def _put_server(change: _Change, home: Path, now: datetime) -> None:
    hosts = change.facts.hosts
    pair = make_server_certificate(change.authority, (*hosts, *_LOOPBACK), now)
    conf = redis_conf((home / SERVER).absolute(), _bind(hosts), change.facts.port)
    change.files |= {
        f"{SERVER}/{CA_FILE}": change.authority.certificate,
        f"{SERVER}/{_SERVER_CERTIFICATE}": pair.certificate,
        f"{SERVER}/{_SERVER_KEY}": pair.key,
        f"{SERVER}/{_CONF_FILE}": conf.encode(),
    }


def _put_node(change: _Change, home: Path, node: str, now: datetime) -> None:
    folder = f"{_NODES}/{node}"
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    pair = make_node_certificate(change.authority, node, now)
    commands = node in change.facts.operators
    change.users[node] = acl.user_line(node, password, commands=commands)
    if commands:
        key = new_operator_key(node)
        change.operators[node] = key.public
        change.files[f"{folder}/{OPERATOR_KEY_FILE}"] = operator_key_pem(key)
    url = with_login(_plain_url(change.facts), node, password, {})
    change.files |= {
        f"{folder}/{CA_FILE}": change.authority.certificate,
        f"{folder}/{CERTIFICATE_FILE}": pair.certificate,
        f"{folder}/{KEY_FILE}": pair.key,
        f"{folder}/{URL_FILE}": f"{url}\n".encode(),
        f"{folder}/{ENV_FILE}": _env(change.facts, node).encode(),
    }


def _write(change: _Change, home: Path) -> None:
    """All files; what depends on every node is made anew each time."""
    operators = operators_text(change.operators)
    change.files[OPERATORS_FILE] = operators
    change.files[f"{SERVER}/{_ACL_FILE}"] = acl.acl_file(change.users.values()).encode()
    for node in change.facts.nodes:
        change.files[f"{_NODES}/{node}/{OPERATORS_FILE}"] = operators
    for path, content in change.files.items():
        folder, _, name = path.rpartition("/")
        write_private(home / folder, {name: content})
    write_private(home / SERVER / "data", {})
    write_private(home, {HOME_FILE: msgspec.json.encode(change.facts)})


def _plain_url(facts: HomeFacts) -> str:
    host = facts.hosts[0]
    return f"rediss://{f'[{host}]' if ':' in host else host}:{facts.port}/0"


def _bind(hosts: Sequence[str]) -> str:
    """Loopback and the given addresses; where only names are known, every address."""
    addresses = [host for host in hosts if _is_address(host)]
    if not addresses:
        return "* -::*"
    return " ".join(dict.fromkeys(("127.0.0.1", *addresses)))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _env(facts: HomeFacts, node: str) -> str:
    return (
        "# For systemd's EnvironmentFile= or docker's --env-file. No secret stands here.\n"
        f"DANZAR_BOT__JOBS__URL={_plain_url(facts)}\n"
        f"DANZAR_BOT__NODE__NAME={node}\n"
        "# Where this folder is on that machine:\n"
        "# DANZAR_BOT__JOBS__KEYS=/home/me/danzar-keys\n"
    )
