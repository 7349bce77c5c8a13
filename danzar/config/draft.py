"""One setting changed in what the files say, and the configuration that this would make."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from danzar.config.edit import CannotEdit, set_value
from danzar.config.environment import read_overrides, read_value
from danzar.config.keys import Key
from danzar.config.load import FILES, load_config
from danzar.config.secrets import show
from danzar.config.settings import Config
from danzar.config.yaml_lines import YamlProblem, read_yaml
from danzar.errors import ConfigError

Contents = Mapping[str, bytes]


class CannotSet(ConfigError):
    """The setting can't be set this way; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the four files would say, and where they are."""

    folder: Path
    environ: Mapping[str, str]
    contents: Contents

    def config(self) -> Config:
        """The configuration that they make. Blocks.

        Raises:
            danzar.config.problems.InvalidConfig: They make none.
        """
        return load_config(self.folder, self.environ, self.contents)

    def with_setting(self, key: Key, text: str) -> "Draft":
        """The same with one setting changed; whether the value may be, ``config`` says.

        Raises:
            CannotSet: A variable overrides the setting, or it can't be edited in its file.
        """
        model, raw = FILES[key.file][1], self.contents[key.file]
        try:
            data = read_yaml(raw).data
            _refuse_overridden(key, data, self.environ)
            value = read_value(model, key.path, data, text)
            edited = set_value(raw, key.path, value)
        except YamlProblem as exc:
            raise CannotSet(f"{key}: {show(text, key.path[-1])} is no value: {exc}") from exc
        except CannotEdit as exc:
            raise CannotSet(f"{key} {exc}; edit {self.folder / key.file_name} by hand") from exc
        return replace(self, contents={**self.contents, key.file: edited})


def _refuse_overridden(key: Key, data: object, environ: Mapping[str, str]) -> None:
    overrides, _ = read_overrides(key.file.upper(), FILES[key.file][1], data, environ)
    for override in overrides:
        if override.path == key.path[: len(override.path)]:
            raise CannotSet(
                f"{key} is set by the environment variable {override.variable}, which overrides "
                "the file; change the variable and restart"
            )
