"""Where things outside the settings' folder are."""

from pathlib import Path

import platformdirs

from danzar.config.settings import Config


def platform_config_folder() -> Path:
    """Where this platform has settings of a user's programs; it may not exist."""
    return Path(platformdirs.user_config_dir("danzar", appauthor=False))


def platform_data_folder() -> Path:
    """Where this platform has data of a user's programs; it may not exist."""
    return Path(platformdirs.user_data_dir("danzar", appauthor=False))


def data_folder(config: Config) -> Path:
    """The folder that outlives restarts (database, checksums); ``bot.data_dir`` or the platform's.

    It may not exist yet. A relative ``data_dir`` starts from the project's folder.
    """
    named = config.bot.data_dir
    if named is None:
        return platform_data_folder()
    return config.root / Path(named).expanduser()


def keys_home(config: Config) -> Path:
    """Where all machines' keys are unless `--out` says otherwise, absolute; it may not exist."""
    return data_folder(config).absolute() / "keys"


def key_folder(config: Config) -> Path | None:
    """Where this machine's keys are; a relative path starts from the project's folder."""
    named = config.bot.jobs.keys
    return None if named is None else config.root / Path(named).expanduser()
