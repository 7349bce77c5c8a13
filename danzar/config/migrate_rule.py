"""How one key of another program's settings is said here. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danzar.config.base import Settings
from danzar.config.yaml_lines import KeyPath

NAME = "NAME"
NOTHING = object()
"""What a conversion gives where nothing is to be written for this value."""


@dataclass(frozen=True, slots=True)
class Around:
    """Where a value stands.

    Attributes:
        section: The keys beside it.
        entry: Which entry of a list it is in, from 0; ``None``: in no list.
        name: The ``name`` of that entry.
        folder: Of the file; its relative paths begin there.
        root: Danzar's project folder; relative paths of its settings begin there.
    """

    section: Mapping[str, Any]
    entry: int | None
    name: str
    folder: Path
    root: Path


Convert = Callable[[Any, Around], Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One of Danzar's settings, as ``FILE.KEY`` (``vram.placement.margin``).

    ``NAME`` in it stands for the name of the model that the value belongs to.
    """

    key: str
    convert: Convert = field(default=lambda value, _: value)


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one key; without targets, ``note`` says why there are none."""

    targets: tuple[Target, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """One program's file of settings.

    Attributes:
        schema: All keys that it may have.
        rules: By key, without the numbers of list entries.
    """

    name: str
    file: str
    schema: type[Settings]
    rules: Mapping[str, Rule]


def to(key: str, convert: Convert | None = None, note: str = "") -> Rule:
    """It is called otherwise here, and perhaps written otherwise."""
    return Rule((Target(key) if convert is None else Target(key, convert),), note)


def gone(note: str) -> Rule:
    """There is no such setting here."""
    return Rule((), note)


def mib(value: Any, _: Around) -> Any:  # noqa: ANN401 - whatever the file says
    """MiB as Danzar writes sizes."""
    return f"{value} MiB"


def percent(value: Any, _: Around) -> Any:  # noqa: ANN401
    """A share as percent."""
    return round(100 * value, 4)


def rule_key(path: KeyPath) -> str:
    """``models.llm.name`` for ``("models", "llm", 0, "name")``."""
    return ".".join(part for part in path if isinstance(part, str))
