"""The files of those who may command nodes: a private key, and the nodes' list. Blocks.

``operators.txt`` has a line for each: a name, a space, the 32 public bytes as base64.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from danzar.keys.commands import OperatorKey
from danzar.keys.errors import KeyFileBad
from danzar.keys.private_files import read_private

OPERATORS_FILE: Final = "operators.txt"
OPERATOR_KEY_FILE: Final = "operator.key"
_PUBLIC_BYTES: Final = 32
_NAME_HEADER: Final = "operator: "


def operator_key_pem(key: OperatorKey) -> bytes:
    """The private key as a file; its first line names whose it is."""
    pem = key.secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return f"{_NAME_HEADER}{key.name}\n".encode() + pem


def read_operator_key(file: Path) -> OperatorKey:
    """The key that ``operator_key_pem`` wrote.

    Raises:
        KeyFileBad: It is missing or damaged.
    """
    first, _, pem = read_private(file).partition(b"\n")
    try:
        secret = serialization.load_pem_private_key(pem, password=None)
        name = first.decode()
    except ValueError as exc:
        raise KeyFileBad(f"{file} is no operator's key, or is damaged") from exc
    if not isinstance(secret, Ed25519PrivateKey) or not name.startswith(_NAME_HEADER):
        raise KeyFileBad(f"{file} is no operator's key")
    return OperatorKey(name.removeprefix(_NAME_HEADER).strip(), secret)


def operators_text(operators: Mapping[str, bytes]) -> bytes:
    """The list as a file."""
    lines = (f"{name} {base64.b64encode(key).decode()}\n" for name, key in operators.items())
    return "".join(lines).encode()


def read_operators(file: Path) -> Mapping[str, bytes]:
    """Who may command, with their public keys.

    Raises:
        KeyFileBad: The file is missing, or a line of it is wrong.
    """
    operators = {}
    for number, line in enumerate(read_private(file).decode(errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, encoded = line.partition(" ")
        try:
            key = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != _PUBLIC_BYTES:
            raise KeyFileBad(f"{file}, line {number}: no name with a public key of 32 bytes")
        operators[name] = key
    return operators
