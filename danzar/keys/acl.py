"""Who may do what in the queue's Redis, as the text of its ACL file. Pure.

Nobody may do anything but these users: ``default`` has a random password that nobody knows. A node
works on jobs and tells its own state; it can read other nodes' state, but neither command them nor
speak for them. One that is an operator may besides send commands, which are signed
(``danzar.keys.commands``).
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from typing import Final

from danzar.keys.errors import KeyFileBad

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"
_NAME = re.compile(NAME_PATTERN)
_RESERVED: Final = frozenset({"default", "server", "ca"})

# What docket's Python and Lua, and Danzar's jobs and nodes call. No KEYS, SCAN, CONFIG, FLUSHALL,
# ACL, DEBUG, SHUTDOWN, CLIENT, MIGRATE, MODULE or REPLICAOF for anybody.
COMMANDS: Final = (
    # info server: its run id tells the machines that it was restarted.
    *("hello", "auth", "ping", "select", "time", "info|server"),
    *("get", "set", "setex", "mget", "del", "unlink", "exists", "ttl", "pttl"),
    *("expire", "pexpire", "multi", "exec", "discard", "watch", "unwatch"),
    *("hget", "hset", "hsetnx", "hdel", "hgetall", "hmget", "hincrby", "hexists"),
    *("sadd", "srem", "smembers", "lpush", "rpush", "lrange", "ltrim", "llen"),
    *("zadd", "zrem", "zrange", "zrangebyscore", "zscore", "zcard", "zcount", "zrank"),
    *("zpopmin", "zremrangebyscore"),
    *("xadd", "xread", "xreadgroup", "xack", "xdel", "xlen", "xrange", "xrevrange", "xtrim"),
    *("xautoclaim", "xclaim", "xpending", "xinfo", "xgroup"),
    *("publish", "subscribe", "unsubscribe", "psubscribe", "punsubscribe"),
    *("eval", "evalsha", "script|load", "script|exists"),
)
JOB_KEYS: Final = "danzar:jobs:*"
NODES_KEY: Final = "danzar:nodes"
NODE_KEYS: Final = "danzar:node:*"


def check_name(name: str) -> str:
    """The name of a node or operator, if Redis, certificates and folders can all bear it.

    Raises:
        KeyFileBad: They can't.
    """
    if not _NAME.match(name) or name in _RESERVED:
        raise KeyFileBad(
            f"{name!r} can't be a node's name: a to z, 0 to 9, - and _, at most 32, "
            f"and not one of {', '.join(sorted(_RESERVED))}"
        )
    return name


def user_line(node: str, password: str, *, commands: bool) -> str:
    """The line of one node's user; with ``commands`` it may also send commands to every node."""
    keys = [
        f"~{JOB_KEYS}",
        f"~{NODES_KEY}",
        f"%R~{NODE_KEYS}",
        f"%W~danzar:node:{node}:state",
        f"%W~danzar:node:{node}:answers",
    ]
    if commands:
        keys.append("%W~danzar:node:*:commands")
    return _line(node, password, keys)


def acl_file(lines: Iterable[str]) -> str:
    """The whole file; the order of the users does not matter.

    Redis (7.0) reads its own AOF as ``default``, and drops every transaction in it where that user
    is off. So default may write, but its password is thrown away: nobody can log in as it.
    """
    nobody = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
    default = f"user default on #{nobody} ~* resetchannels -@all +@write +multi +exec +select"
    return "\n".join((default, *lines, ""))


def users_of(text: str) -> dict[str, str]:
    """The lines of an ACL file by their user, without ``default``."""
    lines = [line for line in text.splitlines() if line.startswith("user ")]
    users = {line.split()[1]: line for line in lines}
    users.pop("default", None)
    return users


def _line(user: str, password: str, keys: Iterable[str]) -> str:
    # Only the hash stands in the file. The password is 256 random bits: there is nothing to guess.
    hashed = hashlib.sha256(password.encode()).hexdigest()
    allowed = " ".join(f"+{command}" for command in COMMANDS)
    # docket listens by patterns with a model's name inside, and Redis allows a pattern only where
    # it stands here letter by letter; this Redis has no channels but those of jobs.
    return f"user {user} on #{hashed} resetkeys {' '.join(keys)} allchannels nocommands {allowed}"
