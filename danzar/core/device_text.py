"""Devices' and processes' names as people read them. Pure."""

from danzar.core.device import DeviceKind, DeviceSnapshot, ProcessUse

_VENDOR_WORDS = ("NVIDIA", "GeForce")
_LONGEST_NAME = 40
_HIDDEN_IN_TEXT = str.maketrans(dict.fromkeys("`*_~|<>[]", "'") | {"@": "(at)"})


def short_name(name: str) -> str:
    """The product without its maker: ``NVIDIA GeForce RTX 4070 SUPER`` is ``RTX 4070 SUPER``."""
    words = [w for w in name.split() if w not in _VENDOR_WORDS]
    return " ".join(words)[:_LONGEST_NAME] or name[:_LONGEST_NAME]


def device_title(snapshot: DeviceSnapshot) -> str:
    """``Device 1 (RTX 4070 SUPER)``, as the seed calls a GPU; ``CPU`` for host RAM.

    A simulated card says so: ``Device 1 (RTX 4070 SUPER, simulated)``.
    """
    if snapshot.kind is DeviceKind.CPU:
        return "CPU"
    simulated = ", simulated" if snapshot.simulated else ""
    return f"Device {snapshot.index} ({short_name(snapshot.name)}{simulated})"


def process_title(process: ProcessUse) -> str:
    """``game.exe (pid 812)``: harmless in a chat message, whatever the program calls itself."""
    if process.name is None:
        return f"pid {process.pid}"
    return f"{harmless(process.name)} (pid {process.pid})"


def harmless(name: str) -> str:
    """A name from elsewhere, shortened, without what means something in a chat message."""
    plain = "".join(c for c in name if c.isprintable()).translate(_HIDDEN_IN_TEXT)
    return plain.replace("://", ":")[:_LONGEST_NAME]
