"""The configuration of the queue's Redis. Pure: text in, text out."""

from pathlib import PurePath
from typing import Final

from danzar.keys.errors import KeyFileBad
from danzar.units import GIB

DEFAULT_MEMORY_BYTES: Final = 1 * GIB

_TEMPLATE: Final = """\
# Redis for Danzar's jobs, made by `danzar keys init`. Needs Redis 7.0 or newer, with TLS.
# Start it with: redis-server {file}

# Only TLS, on this machine and on the address that the other machines use.
port 0
tls-port {port}
bind {bind}
protected-mode yes
timeout 0
tcp-keepalive 60

# Both ends prove who they are; without a certificate of ours nobody gets as far as a password.
# TLS 1.3 alone also hides the certificates, and with them the nodes' names, on the wire.
tls-cert-file {folder}/server.crt"
tls-key-file {folder}/server.key"
tls-ca-cert-file {folder}/ca.crt"
tls-auth-clients yes
tls-protocols "TLSv1.3"

# One user for each node, who may do what a node does and nothing else.
aclfile {folder}/users.acl"

# Every change goes to a file, and the file to the disk once a second. A killed Redis loses nothing;
# a power cut up to a second, which Danzar makes good from the list of accepted jobs that each node
# keeps on its own disk. `always` would add a disk's wait to each step of each job for that.
dir {folder}/data"
appendonly yes
appendfsync everysec
save ""

# Full means: new jobs are refused. It never means that old ones are thrown away.
maxmemory {memory_bytes}
maxmemory-policy noeviction
"""


def redis_conf(
    folder: PurePath, bind: str, port: int, memory_bytes: int = DEFAULT_MEMORY_BYTES
) -> str:
    """The file's text.

    Args:
        folder: Where the server's files are, as an absolute path.
        bind: Addresses to listen on, separated by spaces.
        port: Of TLS; there is no other.
        memory_bytes: What the queue may take, results that wait to be fetched included.

    Raises:
        KeyFileBad: The folder's name has signs that can't stand in a Redis configuration.
    """
    text = folder.as_posix()
    if any(char in text for char in '"\\\n\r'):
        raise KeyFileBad(f"{text} can't stand in redis.conf; choose another folder with --out")
    return _TEMPLATE.format(
        folder=f'"{text}',
        file=f'"{text}/redis.conf"' if " " in text else f"{text}/redis.conf",
        bind=bind,
        port=port,
        memory_bytes=memory_bytes,
    )
