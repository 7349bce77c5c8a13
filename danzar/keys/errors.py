"""What keys and addresses are refused for. No message holds a password or a key."""

from danzar.errors import DanzarError


class KeysError(DanzarError):
    """Base of what this package raises."""


class QueueUrlRefused(KeysError):
    """The queue's address would let others read or change jobs, or is no address."""


class QueueRefused(KeysError):
    """The queue's server and this machine do not accept each other, or it can't be reached."""


class KeyFileBad(KeysError):
    """A key folder or a file in it is missing, damaged, expired, or would be overwritten."""


class CommandRefused(KeysError):
    """A command to a node is not from one who may give it, or is not for this node and moment."""
