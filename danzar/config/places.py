"""Where things outside the settings' folder are."""

from pathlib import Path

import platformdirs

from danzar.config.settings import Config


def data_folder(config: Config) -> Path:
    """The folder that outlives restarts (database, checksums); ``bot.data_dir`` or the platform's.

    It may not exist yet. A relative ``data_dir`` starts from the project's folder.
    """
    named = config.bot.data_dir
    if named is None:
        return Path(platformdirs.user_data_dir("danzar", appauthor=False))
    return config.root / Path(named).expanduser()
