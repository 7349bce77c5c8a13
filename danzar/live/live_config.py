"""Settings that change while Danzar runs: as a whole, or not at all.

A change is made in this order, so that whatever fails leaves everything as it was:

1. the files, with the change in them, are validated as a whole;
2. what differs must be allowed to change while running;
3. every part that follows the settings prepares its step, and the step back;
4. the file is replaced at once;
5. the steps are taken; each is too simple to fail, and is taken back if one does.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from danzar.config.changes import Change, can_change_live, changes_between
from danzar.config.draft import Draft
from danzar.config.files import read_contents, replace_file
from danzar.config.keys import Key, find_key
from danzar.config.settings import Config
from danzar.errors import ConfigError

log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]
Follower = Callable[[Config, Config], Step]
"""Prepares the step from the first configuration to the second; raises if it can't be taken."""
Audit = Callable[[str, str, str], Awaitable[None]]
"""Who, what kind of action, and the details: as ``danzar.store.Store.audit``."""


class NeedsRestart(ConfigError):
    """Settings that are read only when Danzar starts."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What is in force from now on; no changes where everything was so already."""

    changes: tuple[Change, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.changes)) or "nothing changed: it is so already"


@dataclass(slots=True)
class _File:
    """The file that a change is written to, before and after it."""

    file: Path
    before: bytes
    after: bytes
    written: bool = False

    async def write(self) -> None:
        if self.before != self.after:
            await asyncio.to_thread(replace_file, self.file, self.before, self.after)
            self.written = True

    async def restore(self) -> None:
        if self.written:
            await asyncio.to_thread(replace_file, self.file, self.after, self.before)


class LiveConfig:
    """Owns the configuration that is in force."""

    def __init__(
        self,
        config: Config,
        followers: Sequence[Follower],
        *,
        audit: Audit,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Start with what is in force, as it was read from ``config.folder``. Blocks: reads files.

        Args:
            config: What everything was built from.
            followers: The parts to change; asked in this order.
            audit: Keeps a line for each change.
            environ: Variables that override the files.

        Raises:
            danzar.errors.ConfigError: A file can't be read.
        """
        self._config = config
        self._followers = tuple(followers)
        self._audit = audit
        contents = read_contents(config.folder) if config.folder else {}
        self._draft = Draft(config.folder or Path(), dict(environ), contents)
        self._lock = asyncio.Lock()

    @property
    def config(self) -> Config:
        """What is in force."""
        return self._config

    async def preview(self, key: str, value: str) -> Applied:
        """What ``set`` would change now; touches nothing.

        Raises:
            danzar.errors.ConfigError: ``set`` would refuse, with the reason.
        """
        async with self._lock:
            _, running = await asyncio.to_thread(self._setting, key, value)
            before, after = await self._compare(running)
        return Applied(changes_between(before, after))

    async def set(self, key: str, value: str, *, who: str) -> Applied:
        """Change one setting, in its file and in the running parts.

        Other changes that the owner made in the files and did not apply stay unapplied.

        Args:
            key: As ``find_key`` reads it.
            value: As it would stand in the file.
            who: For the audit.

        Raises:
            danzar.errors.ConfigError: Refused, with the reason; nothing was changed.
        """
        async with self._lock:
            file, running = await asyncio.to_thread(self._setting, key, value)
            return await self._change_to(running, file, who)

    async def reload(self, *, who: str) -> Applied:
        """Apply what the files say now.

        Args:
            who: For the audit.

        Raises:
            danzar.errors.ConfigError: Refused, with the reason; nothing was changed.
        """
        async with self._lock:
            on_disk = await asyncio.to_thread(self._read, self._folder())
            return await self._change_to(on_disk, None, who)

    def _folder(self) -> Path:
        if self._config.folder is None:
            raise ConfigError("there is no folder of settings to change; restart with --config DIR")
        return self._config.folder

    def _read(self, folder: Path) -> Draft:
        return Draft(folder, self._draft.environ, read_contents(folder))

    def _setting(self, key: str, value: str) -> tuple[_File, Draft]:
        """The file with the setting in it, and what would run: both are valid as a whole."""
        folder, found = self._folder(), find_key(key, self._config)
        if not can_change_live(found):
            raise NeedsRestart(_restart_text([found]))
        on_disk = self._read(folder)
        written = on_disk.with_setting(found, value)
        written.config()
        before, after = on_disk.contents[found.file], written.contents[found.file]
        file = _File(folder / found.file_name, before, after)
        return file, self._draft.with_setting(found, value)

    async def _compare(self, draft: Draft) -> tuple[Config, Config]:
        """What runs and what would; what runs is read anew, as `auto` goes by files of models."""
        before = await asyncio.to_thread(self._draft.config)
        return before, await asyncio.to_thread(draft.config)

    async def _change_to(self, draft: Draft, file: _File | None, who: str) -> Applied:
        before, after = await self._compare(draft)
        changes = changes_between(before, after)
        stuck = [change.key for change in changes if not can_change_live(change.key)]
        if stuck:
            raise NeedsRestart(_restart_text(stuck))
        forward = [follow(before, after) for follow in self._followers]
        back = [follow(after, before) for follow in self._followers]
        if file is not None:
            forward, back = [file.write, *forward], [file.restore, *back]
        await _take(forward, back)
        self._config, self._draft = after, draft
        await self._note(changes, who)
        return Applied(changes)

    async def _note(self, changes: tuple[Change, ...], who: str) -> None:
        for change in changes:
            log.info("config changed by %s: %s", who, change)
            try:
                await self._audit(who, "config.set", str(change))
            except Exception:
                log.exception("the audit line of a change of settings was lost: %s", change)


async def _take(forward: Sequence[Step], back: Sequence[Step]) -> None:
    """All steps, or none."""
    taken: list[Step] = []
    try:
        for step, undo in zip(forward, back, strict=True):
            taken.append(undo)
            await step()
    except BaseException:
        for undo in reversed(taken):
            await _take_back(undo)
        raise


async def _take_back(undo: Step) -> None:
    try:
        await undo()
    except Exception:
        log.exception("a part of a change of settings could not be taken back")


def _restart_text(keys: Sequence[Key]) -> str:
    names = ", ".join(f"{key} ({key.file_name})" for key in keys)
    return (
        f"restart to apply: {names}; nothing was changed "
        "(`danzar config set --later KEY VALUE` writes a setting for the next start)"
    )
