"""Signed commands to nodes: who may give them, to which node, once, and for how long.

A command is a JSON envelope around bytes of the caller's, signed with Ed25519. It names its node,
so that it can't be played to another; it is good for a short time, and once. A node believes no
command from before its own start, because it no longer knows which of those it has seen.
Pure, but for the functions that read files. Times are seconds since the epoch.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from danzar.keys.errors import CommandRefused

DEFAULT_VALID_S: Final = 30.0
MOST_VALID_S: Final = 300.0
CLOCK_SKEW_S: Final = 10.0
MAX_COMMAND_BYTES: Final = 64 * 1024
MAX_NONCES: Final = 100_000
_NONCE_BYTES: Final = 16
# Signed with every command, so that a signature made for anything else is none here.
_PURPOSE: Final = b"danzar node command 1\n"


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """One who may command nodes. ``repr`` hides the secret."""

    name: str
    secret: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """The 32 bytes that nodes know."""
        return self.secret.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"OperatorKey({self.name!r})"


@dataclass(frozen=True, slots=True)
class VerifiedCommand:
    """What a known operator really sent to this node, just now, for the first time."""

    operator: str
    body: bytes
    nonce: bytes


class _Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operator: str
    node: str
    nonce: bytes
    issued_s: float
    expires_s: float
    body: bytes


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    statement: bytes
    signature: bytes


def new_operator_key(name: str) -> OperatorKey:
    """A fresh key pair."""
    return OperatorKey(name, Ed25519PrivateKey.generate())


def sign_command(
    key: OperatorKey, node: str, body: bytes, now_s: float, valid_s: float = DEFAULT_VALID_S
) -> bytes:
    """The command as one node's ``CommandGate`` will take it.

    Raises:
        ValueError: ``valid_s`` is not within 0 to 300 seconds, or the body is too large.
    """
    if not 0 < valid_s <= MOST_VALID_S:
        raise ValueError(f"a command may be good for up to {MOST_VALID_S:g} s, not {valid_s:g}")
    nonce = secrets.token_bytes(_NONCE_BYTES)
    statement = msgspec.json.encode(_Statement(key.name, node, nonce, now_s, now_s + valid_s, body))
    envelope = _Envelope(statement, key.secret.sign(_PURPOSE + statement))
    data = msgspec.json.encode(envelope)
    if len(data) > MAX_COMMAND_BYTES:
        raise ValueError(f"a command of {len(data)} bytes is too large")
    return data


class CommandGate:
    """One node's door: lets each good command in once. Owned by one task."""

    def __init__(self, node: str, operators: Mapping[str, bytes], started_s: float) -> None:
        """``operators`` are names and their 32 public bytes; nobody else is believed."""
        self._node = node
        self._operators = {
            name: Ed25519PublicKey.from_public_bytes(key) for name, key in operators.items()
        }
        self._started_s = started_s
        self._seen: dict[bytes, float] = {}

    def open(self, data: bytes, now_s: float) -> VerifiedCommand:
        """What was commanded.

        Raises:
            CommandRefused: Damaged, from an unknown operator, for another node, too late, from
                the future, from before this node's start, or seen before.
        """
        statement = self._verified(data)
        if statement.node != self._node:
            raise CommandRefused(f"the command is for {statement.node}, not for {self._node}")
        self._check_times(statement, now_s)
        self._remember(statement, now_s)
        return VerifiedCommand(statement.operator, statement.body, statement.nonce)

    def _verified(self, data: bytes) -> _Statement:
        if len(data) > MAX_COMMAND_BYTES:
            raise CommandRefused(f"a command of {len(data)} bytes is too large")
        try:
            envelope = msgspec.json.decode(data, type=_Envelope)
            statement = msgspec.json.decode(envelope.statement, type=_Statement)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CommandRefused("the command is no signed command") from exc
        key = self._operators.get(statement.operator)
        if key is None:
            raise CommandRefused(
                f"{self._node} takes no commands from {statement.operator[:64]!r}; "
                "its operators.txt names those who may"
            )
        try:
            key.verify(envelope.signature, _PURPOSE + envelope.statement)
        except InvalidSignature as exc:
            raise CommandRefused(
                f"the command was not signed by {statement.operator}, or was changed"
            ) from exc
        return statement

    def _check_times(self, statement: _Statement, now_s: float) -> None:
        valid_s = statement.expires_s - statement.issued_s
        if not 0 < valid_s <= MOST_VALID_S:
            raise CommandRefused(f"the command is good for {valid_s:g} s, which is not allowed")
        late_s = now_s - statement.expires_s
        if late_s > CLOCK_SKEW_S:
            raise CommandRefused(f"the command ran out {late_s:.0f} s ago (are both clocks right?)")
        early_s = statement.issued_s - now_s
        if early_s > CLOCK_SKEW_S:
            raise CommandRefused(
                f"the command is from {early_s:.0f} s in the future (are both clocks right?)"
            )
        if statement.issued_s < self._started_s - CLOCK_SKEW_S:
            raise CommandRefused(f"the command is older than this start of {self._node}")

    def _remember(self, statement: _Statement, now_s: float) -> None:
        if statement.nonce in self._seen:
            raise CommandRefused("the command came a second time")
        if len(self._seen) >= MAX_NONCES:
            self._forget(now_s)
        if len(self._seen) >= MAX_NONCES:
            raise CommandRefused(f"{self._node} got {MAX_NONCES} commands within minutes")
        self._seen[statement.nonce] = statement.expires_s

    def _forget(self, now_s: float) -> None:
        over = [nonce for nonce, end_s in self._seen.items() if now_s - end_s > CLOCK_SKEW_S]
        for nonce in over:
            del self._seen[nonce]
