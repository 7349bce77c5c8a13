"""``danzar keys add|list|revoke``: the API's keys, beside a server that may be running."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from danzar.commands.noted import note
from danzar.commands.terminal import table
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.http.api_keys import FILE, ApiKey, ApiKeys, KeyLimits

Json = dict[str, Any]


async def add_key(config: Config, name: str, limits: KeyLimits) -> tuple[ApiKey, str]:
    """A new key, and its text, which nobody can show again.

    Raises:
        danzar.errors.BadInput: The name is taken, or no plain word.
    """
    async with ApiKeys.open(data_folder(config) / FILE) as keys:
        made = await keys.add(name, limits)
    await note(config, "keys.add", f"{name} ({made[0].id})")
    return made


async def list_keys(config: Config) -> tuple[ApiKey, ...]:
    """Every key, revoked ones among them."""
    async with ApiKeys.open(data_folder(config) / FILE) as keys:
        return await keys.all()


async def revoke_key(config: Config, name: str) -> ApiKey:
    """Let a key open nothing any more; a running server obeys at once.

    Raises:
        danzar.errors.BadInput: There is no such key.
    """
    async with ApiKeys.open(data_folder(config) / FILE) as keys:
        revoked = await keys.revoke(name)
    await note(config, "keys.revoke", f"{name} ({revoked.id})")
    return revoked


def print_added(key: ApiKey, text: str, console: Console) -> None:
    """The key, this once."""
    console.print(text, style="bold", soft_wrap=True)
    console.print(
        f"Keep it: it is shown this once, and Danzar keeps its hash only. Programs send it as "
        f"Authorization: Bearer {text[: text.rindex('_')]}_...; `danzar keys revoke {key.name}` "
        "ends it.",
        soft_wrap=True,
    )


def print_keys(keys: tuple[ApiKey, ...], config: Config, console: Console) -> None:
    """One row for each key; limits that it does not have of its own are the settings'."""
    if not keys:
        console.print("There is no key: the API is open to programs of this machine alone.")
        return
    common = config.bot.api
    rows = table("name", "id", "made", "revoked", "requests/min", "at once", "jobs")
    for key in keys:
        rows.add_row(
            key.name,
            key.id,
            _day(key.made_at),
            _day(key.revoked_at),
            _limit(key.limits.requests_per_minute, common.requests_per_minute),
            _limit(key.limits.concurrent, common.concurrent),
            _limit(key.limits.jobs, common.jobs),
        )
    console.print(rows)


def key_json(key: ApiKey) -> Json:
    """A key without its secret; a limit is null where it is the settings'."""
    return {
        "id": key.id,
        "name": key.name,
        "made_at": _time(key.made_at),
        "revoked_at": _time(key.revoked_at),
        "requests_per_minute": key.limits.requests_per_minute,
        "concurrent": key.limits.concurrent,
        "jobs": key.limits.jobs,
    }


def _limit(own: int | None, common: int) -> str:
    return f"{own:,}" if own is not None else f"{common:,} (all)"


def _time(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).isoformat()


def _day(epoch_s: float | None) -> str:
    return "-" if epoch_s is None else f"{datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d %H:%M}"
