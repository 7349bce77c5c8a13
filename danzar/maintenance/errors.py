"""What can go wrong with a backup."""

from danzar.errors import DanzarError


class BackupFailed(DanzarError):
    """It can't be written; nothing is left of it."""


class BadBackup(DanzarError):
    """The file is no backup, is damaged, or was made by a newer Danzar. Nothing was changed."""


class CannotRestore(DanzarError):
    """The place is taken or in use. Nothing was changed."""
