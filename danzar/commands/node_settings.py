"""What the options of ``danzar node`` change in the settings of one run."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from danzar.config.base import DeviceName, Size
from danzar.config.node import NodeSettings
from danzar.config.settings import Config
from danzar.config.vram import DeviceSettings
from danzar.errors import BadInput

_size = TypeAdapter(Size).validate_python
_device = TypeAdapter(DeviceName).validate_python


def with_queue(config: Config, queue: str | None, keys: Path | None) -> Config:
    """The settings with another queue or key folder; ``None`` leaves what they say."""
    if keys is not None:
        config = _with_jobs(config, "keys", str(keys.expanduser().absolute()))
    return config if queue is None else _with_jobs(config, "url", queue)


def with_name(config: Config, name: str | None) -> Config:
    """The settings with this node's name; ``None`` leaves what they say.

    Raises:
        BadInput: It is no name of a node.
    """
    if name is None:
        return config
    try:
        node = NodeSettings.model_validate({**config.bot.node.model_dump(), "name": name})
    except ValidationError as exc:
        form = "1 to 32 small letters, digits, hyphens and underscores, a letter or digit first"
        raise BadInput(f"{name!r} is no name for a node; allowed: {form}") from exc
    bot = config.bot.model_copy(update={"node": node})
    return config.model_copy(update={"bot": bot})


def with_budgets(config: Config, budgets: Sequence[str], gpus: Sequence[str]) -> Config:
    """The settings with limits: ``10 GiB`` on each of ``gpus``, ``cuda:1=6 GiB`` on one.

    Raises:
        BadInput: One is neither.
    """
    devices = dict(config.vram.devices)
    for text in budgets:
        name, size_bytes = _budget(text)
        for device in gpus if name is None else (name,):
            known = devices.get(device, DeviceSettings(limit=None, reserve=0))
            devices[device] = known.model_copy(update={"limit": size_bytes})
    vram = config.vram.model_copy(update={"devices": devices})
    return config.model_copy(update={"vram": vram})


def _budget(text: str) -> tuple[str | None, int]:
    device, equals, size = text.rpartition("=")
    try:
        return (_device(device.strip()) if equals else None), _size(size.strip())
    except ValidationError as exc:
        raise BadInput(f"{text!r} is no budget; write 10GiB, or cuda:1=6GiB for one GPU") from exc


def _with_jobs(config: Config, key: str, value: str) -> Config:
    jobs = config.bot.jobs.model_copy(update={key: value})
    bot = config.bot.model_copy(update={"jobs": jobs})
    return config.model_copy(update={"bot": bot})
