"""Which setting a person means by ``placement.margin`` or ``models.smollm2.priority``."""

from dataclasses import dataclass
from typing import Any

from danzar.config.base import Settings
from danzar.config.load import FILES
from danzar.config.problems import key_text, nearest
from danzar.config.schema import known_keys, schema_at, step
from danzar.config.secrets import show
from danzar.config.settings import Config
from danzar.config.yaml_lines import KeyPath
from danzar.errors import ConfigError


class UnknownKey(ConfigError):
    """No setting has that name, or it is a section."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its file (a name in ``FILES``) and where it is in it."""

    file: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return key_text(self.path)

    @property
    def file_name(self) -> str:
        """``vram_config.yaml``."""
        return FILES[self.file][0]


def find_key(text: str, config: Config) -> Key:
    """The setting that ``text`` names, with or without its file (``vram.placement.margin``).

    Names that the owner chose (models, profiles, sources) are those of ``config``; a device may
    be new.

    Raises:
        UnknownKey: There is none, or it is a section; the message names the nearest one.
    """
    wanted = text.strip()
    found = next((key for key in _candidates(wanted, config) if key is not None), None)
    if found is None:
        raise UnknownKey(_unknown(wanted, config))
    inside = _keys_inside(found, config)
    if inside:
        raise UnknownKey(f"{found} is a section; set one of its keys: {', '.join(inside)}")
    return found


def known_settings(config: Config) -> list[Key]:
    """Every setting that has a value now, in the order of the files."""
    return [
        Key(file, tuple(map(str, path))) for file in FILES for path in _leaves(_data(config, file))
    ]


def _candidates(text: str, config: Config) -> list[Key | None]:
    file, _, rest = text.partition(".")
    named = [_find_in(file, rest, config)] if file in FILES and rest else []
    return [*named, *(_find_in(name, text, config) for name in FILES)]


def _find_in(file: str, text: str, config: Config) -> Key | None:
    model, data = FILES[file][1], _data(config, file)
    path: tuple[str, ...] = ()
    while text:
        name = _next_name(model, path, data, text)
        if name is None:
            return None
        path, text = (*path, name), text[len(name) + 1 :]
    return Key(file, path) if path and schema_at(model, path, data) is not None else None


def _next_name(model: type[Settings], path: tuple[str, ...], data: object, text: str) -> str | None:
    """The longest name that ``text`` begins with: a model's may have dots in it."""
    section = schema_at(model, path, data)
    if section is None:
        return None
    names = [*known_keys(section), *_owner_names(data, path)]
    fitting = [name for name in names if text == name or text.startswith(f"{name}.")]
    if fitting:
        return max(fitting, key=len)
    if not section.get("additionalProperties") or _needs_more(model, path, data):
        return None
    return text.partition(".")[0]


def _needs_more(model: type[Settings], path: KeyPath, data: object) -> bool:
    """Whether a new entry there could not be made with one key alone, as a model can't."""
    entry = schema_at(model, (*path, ""), data)
    return entry is not None and bool(entry.get("required"))


def _owner_names(data: object, path: KeyPath) -> list[str]:
    for part in path:
        data = step(data, part)
    return [str(key) for key in data] if isinstance(data, dict) else []


def _keys_inside(key: Key, config: Config) -> list[str]:
    model, data = FILES[key.file][1], _data(config, key.file)
    schema = schema_at(model, key.path, data) or {}
    if schema.get("type") != "object":
        return []
    names = known_keys(schema) or _owner_names(data, key.path)
    return names or ["NAME"]


def _unknown(text: str, config: Config) -> str:
    known = [str(key) for key in known_settings(config)]
    close = nearest(text, known) or next(
        (key for key in known if key.rpartition(".")[2] == text), None
    )
    return f"no setting is called {show(text, text)}" + (
        f"; did you mean {close}?" if close else ""
    )


def _leaves(data: object, path: KeyPath = ()) -> list[KeyPath]:
    if not isinstance(data, dict) or not data:
        return [path]
    return [leaf for key, value in data.items() for leaf in _leaves(value, (*path, key))]


def _data(config: Config, file: str) -> dict[str, Any]:
    section: Settings = getattr(config, file)
    return section.model_dump()
