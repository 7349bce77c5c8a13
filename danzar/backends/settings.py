"""How each backend reads its own settings."""

from typing import TypeVar

import msgspec

from danzar.errors import ModelRefused
from danzar.workers.contract import LoadSpec

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)


def read_settings(spec: LoadSpec, kind: type[SettingsT]) -> SettingsT:
    """The model's settings, checked.

    Raises:
        ModelRefused: A key is unknown, or a value has the wrong type.
    """
    try:
        return msgspec.convert(spec.settings, kind)
    except msgspec.ValidationError as exc:
        raise ModelRefused(f"{spec.name}: settings: {exc}") from exc
