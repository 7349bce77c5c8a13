"""What stands in the files of a home of keys. Pure but for randomness: nothing is written here."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import PurePath
from typing import Final

import msgspec

from danzar.keys import acl
from danzar.keys.authority import Pair, make_node_certificate, make_server_certificate
from danzar.keys.commands import new_operator_key
from danzar.keys.node_folder import CA_FILE, CERTIFICATE_FILE, ENV_FILE, KEY_FILE, URL_FILE
from danzar.keys.operators import OPERATOR_KEY_FILE, operator_key_pem
from danzar.keys.queue_url import with_login
from danzar.keys.redis_conf import redis_conf

SERVER: Final = "server"
NODES: Final = "nodes"
SERVER_CERTIFICATE: Final = "server.crt"
CONF_FILE: Final = "redis.conf"
_SERVER_KEY: Final = "server.key"
_PASSWORD_BYTES: Final = 32
_LOOPBACK: Final = ("127.0.0.1", "localhost")


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


@dataclass(slots=True)
class Change:
    """Files by their path below the home, and users by name, before anything is written."""

    facts: HomeFacts
    authority: Pair
    operators: dict[str, bytes]
    users: dict[str, str]
    files: dict[str, bytes] = field(default_factory=dict)


def put_server(change: Change, home: PurePath, now: datetime) -> None:
    """Add the server's folder; ``home`` is absolute, as Redis needs it."""
    hosts = change.facts.hosts
    pair = make_server_certificate(change.authority, (*hosts, *_LOOPBACK), now)
    conf = redis_conf(home / SERVER, _bind(hosts), change.facts.port)
    change.files |= {
        f"{SERVER}/{CA_FILE}": change.authority.certificate,
        f"{SERVER}/{SERVER_CERTIFICATE}": pair.certificate,
        f"{SERVER}/{_SERVER_KEY}": pair.key,
        f"{SERVER}/{CONF_FILE}": conf.encode(),
    }


def put_node(change: Change, node: str, now: datetime) -> None:
    """Add a node's folder, its user, and its right to command if it is an operator."""
    folder = f"{NODES}/{node}"
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
