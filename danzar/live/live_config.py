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
            _, running = await asyncio.to_thread(self._settings, {key: value})
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
        return await self.set_all({key: value}, who=who)

    async def set_all(
        self, settings: Mapping[str, str], *, who: str, action: str = "config.set"
    ) -> Applied:
        """Change several settings as one: all of them, or none.

        Args:
            settings: Values by key, each as ``set`` takes it.
            who: For the audit.
            action: What the audit calls it.

        Raises:
            danzar.errors.ConfigError: Refused, with the reason; nothing was changed.
        """
        async with self._lock:
            files, running = await asyncio.to_thread(self._settings, settings)
            return await self._change_to(running, files, who, action)

    async def reload(self, *, who: str) -> Applied:
        """Apply what the files say now.

        Args:
            who: For the audit.

        Raises:
            danzar.errors.ConfigError: Refused, with the reason; nothing was changed.
        """
        async with self._lock:
            on_disk = await asyncio.to_thread(self._read, self._folder())
            return await self._change_to(on_disk, (), who)

    def _folder(self) -> Path:
        if self._config.folder is None:
            raise ConfigError("there is no folder of settings to change; restart with --config DIR")
        return self._config.folder

    def _read(self, folder: Path) -> Draft:
        return Draft(folder, self._draft.environ, read_contents(folder))

    def _settings(self, wanted: Mapping[str, str]) -> tuple[tuple[_File, ...], Draft]:
        """The files with the settings in them, and what would run: both are valid as a whole."""
        folder = self._folder()
        found = {find_key(key, self._config): value for key, value in wanted.items()}
        stuck = [key for key in found if not can_change_live(key)]
        if stuck:
            raise NeedsRestart(_restart_text(stuck))
        on_disk = written = self._read(folder)
        running = self._draft
        for key, value in found.items():
            written, running = written.with_setting(key, value), running.with_setting(key, value)
        written.config()
        changed = {key.file: folder / key.file_name for key in found}
        files = tuple(
            _File(file, on_disk.contents[name], written.contents[name])
            for name, file in changed.items()
        )
        return files, running

    async def _compare(self, draft: Draft) -> tuple[Config, Config]:
        """What runs and what would; what runs is read anew, as `auto` goes by files of models."""
        before = await asyncio.to_thread(self._draft.config)
        return before, await asyncio.to_thread(draft.config)

    async def _change_to(
        self, draft: Draft, files: Sequence[_File], who: str, action: str = "config.set"
    ) -> Applied:
        before, after = await self._compare(draft)
        changes = changes_between(before, after)
        stuck = [change.key for change in changes if not can_change_live(change.key)]
        if stuck:
            raise NeedsRestart(_restart_text(stuck))
        forward = [follow(before, after) for follow in self._followers]
        back = [follow(after, before) for follow in self._followers]
        writes, restores = [file.write for file in files], [file.restore for file in files]
        await _take([*writes, *forward], [*restores, *back])
        self._config, self._draft = after, draft
        await self._note(changes, who, action)
        return Applied(changes)

    async def _note(self, changes: tuple[Change, ...], who: str, action: str) -> None:
        for change in changes:
            log.info("config changed by %s: %s", who, change)
            await self._audit(who, action, str(change))


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
