"""``danzar models``: what is there, what is used, and whether it is the right thing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from danzar.commands.noted import note
from danzar.commands.terminal import byte_progress, table
from danzar.config.settings import Config
from danzar.errors import DanzarError, ModelError, ModelMissing
from danzar.models.files import entry_of, locate, weights_files
from danzar.models.pull import pull
from danzar.models.verify import Verified, verify
from danzar.units import format_size

State = Literal["here", "built in", "missing"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One model of the manifest. ``path`` is ``None`` where the backend carries its weights."""

    name: str
    role: str
    backend: str
    used: bool
    state: State
    path: Path | None
    size_bytes: int | None
    licence: str
    url: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """One model after a check: verified, or the one line that says why not."""

    name: str
    verified: Verified | None
    error: str | None
    missing: bool


def list_models(config: Config) -> list[Listed]:
    """Every model of ``models.yaml`` and whether its file is here. Reads no file's content."""
    return [_listed(config, name) for name in config.models.models]


def check_models(config: Config, names: Sequence[str], *, fresh: bool = True) -> list[Checked]:
    """Verify these models, or without names all that are here. Shows a bar.

    Raises:
        ModelMissing: A name is not in the manifest.
    """
    for name in names:
        entry_of(config, name)
    listed = [m.name for m in list_models(config) if m.used or m.state != "missing"]
    return [_checked(config, name, fresh=fresh) for name in names or listed]


async def pull_models(config: Config, names: Sequence[str], *, trust: bool) -> list[Verified]:
    """Get these models one after another. Shows a bar.

    Raises:
        danzar.errors.DanzarError: The first one that can't be had.
    """
    for name in names:
        entry_of(config, name)
    got = []
    for name in names:
        got.append(await _pull(config, name, trust=trust))
        await note(config, "models.pull", f"{name}{', trusted unverified' if trust else ''}")
    return got


def used_models(config: Config) -> set[str]:
    """The models that serve a role."""
    return {name for name in config.models.use.model_dump().values() if name is not None}


def listed_json(models: Sequence[Listed]) -> dict[str, Any]:
    """The contract of ``danzar models list --json``; see docs/json.md."""
    return {
        "models": [
            {
                "name": m.name,
                "role": m.role,
                "backend": m.backend,
                "used": m.used,
                "state": m.state,
                "path": None if m.path is None else str(m.path),
                "bytes": m.size_bytes,
                "licence": m.licence,
                "url": m.url,
            }
            for m in models
        ]
    }


def checked_json(models: Sequence[Checked]) -> dict[str, Any]:
    """The contract of ``danzar models verify --json`` and ``pull --json``."""
    return {"models": [_checked_json(m) for m in models]}


def print_listed(models: Sequence[Listed], console: Console) -> None:
    """A table; what is in use is marked."""
    rows = table("", "model", "role", "state", "size", "licence")
    for m in models:
        state = f"missing: danzar models pull {m.name}" if _can_pull(m) else m.state
        size = "" if m.size_bytes is None else format_size(m.size_bytes)
        rows.add_row("*" if m.used else "", m.name, m.role, state, size, m.licence)
    console.print(rows)
    console.print("* in use", style="dim")


def print_checked(models: Sequence[Checked], console: Console) -> None:
    """A line for each model."""
    for m in models:
        if m.verified is None:
            console.print(f"BAD  {m.error}", style="red", soft_wrap=True)
            continue
        size = "" if m.verified.size_bytes is None else f"{format_size(m.verified.size_bytes)}, "
        console.print(f"ok   {m.name}: {size}vouched for by: {m.verified.basis}")


def _listed(config: Config, name: str) -> Listed:
    entry = entry_of(config, name)
    state, path, size_bytes = _find(config, name)
    return Listed(
        name=name,
        role=entry.role,
        backend=entry.backend,
        used=name in used_models(config),
        state=state,
        path=path,
        size_bytes=size_bytes if size_bytes is not None else entry.size,
        licence=entry.licence,
        url=entry.url,
    )


def _find(config: Config, name: str) -> tuple[State, Path | None, int | None]:
    try:
        path = locate(name, config)
        if path is None:
            return "built in", None, None
        if path.exists():
            return "here", path, sum(file.stat().st_size for file in weights_files(path))
    except (ModelError, OSError):
        return "missing", None, None
    return "missing", path, None


def _can_pull(model: Listed) -> bool:
    return model.state == "missing" and model.url is not None


def _checked(config: Config, name: str, *, fresh: bool) -> Checked:
    with byte_progress(name) as progress:
        task = progress.add_task(name, total=None)
        try:
            verified = verify(
                name,
                config,
                lambda done, total: progress.update(task, completed=done, total=total),
                fresh=fresh,
            )
        except DanzarError as exc:
            return Checked(name, None, str(exc), isinstance(exc, ModelMissing))
    return Checked(name, verified, None, missing=False)


async def _pull(config: Config, name: str, *, trust: bool) -> Verified:
    with byte_progress(name) as progress:
        task = progress.add_task(name, total=None)
        return await pull(
            name,
            config,
            lambda done, total: progress.update(task, completed=done, total=total),
            trust_unverified=trust,
        )


def _checked_json(model: Checked) -> dict[str, Any]:
    verified = model.verified
    return {
        "name": model.name,
        "ok": verified is not None,
        "error": model.error,
        "path": None if verified is None or verified.path is None else str(verified.path),
        "bytes": None if verified is None else verified.size_bytes,
        "sha256": None if verified is None else verified.sha256,
        "basis": None if verified is None else verified.basis,
    }
