"""The profiles that come with Danzar, and what an owner adds to them in a file of the same form."""

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from danzar.config.base import Settings
from danzar.config.problems import InvalidConfig, Problem, key_text, model_problems, nearest
from danzar.config.secrets import show
from danzar.config.yaml_lines import Document, KeyPath, YamlProblem, read_yaml
from danzar.errors import BadInput, ConfigError
from danzar.resources.schema import ModelProfile, OwnerProfiles, Profiles

OWNER_FILE = "resource_profiles.yaml"
_SHIPPED = "profiles.yaml"
S = TypeVar("S", bound=Settings)


@cache
def shipped_profiles() -> Profiles:
    """Those that come with Danzar; read once."""
    raw = resources.files("danzar.resources").joinpath(_SHIPPED).read_bytes()
    return parse(Profiles, raw, _SHIPPED)


def load_profiles(folder: Path | None) -> Profiles:
    """The shipped profiles with the owner's ``resource_profiles.yaml`` over them. Blocks.

    Args:
        folder: Of the settings; ``None`` or one without that file adds nothing.

    Raises:
        InvalidConfig: The owner's file is wrong; one line per mistake, with line and key.
        ConfigError: It can't be read.
    """
    shipped = shipped_profiles()
    file = None if folder is None else folder / OWNER_FILE
    if file is None or not file.exists():
        return shipped
    try:
        raw = file.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{file} can't be read: {exc.strerror}") from exc
    return merge(shipped, parse(OwnerProfiles, raw, str(file)), str(file))


def merge(shipped: Profiles, owner: OwnerProfiles, name: str) -> Profiles:
    """Whole entries of the owner in place of those of the same name.

    Raises:
        InvalidConfig: An entry names a source that neither has.
    """
    merged = {
        "sources": {**shipped.sources, **owner.sources},
        "common": owner.common or shipped.common,
        "cards": {**shipped.cards, **owner.cards},
        "models": {**shipped.models, **owner.models},
    }
    try:
        return Profiles.model_validate(merged)
    except ValidationError as error:
        found = model_problems(Profiles, merged, error, lambda _: name)
        raise InvalidConfig(tuple(found)) from error


def parse(model: type[S], raw: bytes, name: str) -> S:
    """One file as ``model``.

    Raises:
        InvalidConfig: One line per mistake; an unknown key is named with the nearest known one.
    """
    try:
        document = read_yaml(raw)
    except YamlProblem as exc:
        problem = Problem(f"{name}:{exc.line}", key_text(exc.path), str(exc))
        raise InvalidConfig((problem,)) from exc
    bad = [Problem(f"{name}:{p.line}", key_text(p.path), str(p)) for p in document.problems]
    if bad:
        raise InvalidConfig(tuple(bad))
    try:
        return model.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        where = _Where(document, name)
        raise InvalidConfig(tuple(model_problems(model, document.data, error, where))) from error


def find_profile(profiles: Profiles, model_type: str) -> tuple[str, ModelProfile]:
    """The profile of that name or alias, and its name; case does not matter.

    Raises:
        BadInput: There is none; the nearest one is named.
    """
    by_name = {name.lower(): name for name in profiles.models}
    for name, profile in profiles.models.items():
        by_name |= {
            alias.lower(): name for alias in profile.aliases if alias.lower() not in by_name
        }
    found = by_name.get(model_type.strip().lower())
    if found is None:
        close = nearest(model_type, list(by_name))
        meant = f"; did you mean {by_name[close]}?" if close else ""
        known = ", ".join(profiles.models)
        raise BadInput(f"there is no profile of {show(model_type, 'model')}{meant}; known: {known}")
    return found, profiles.models[found]


class _Where:
    """``FILE:LINE`` of a key, or of the section around it."""

    def __init__(self, document: Document, name: str) -> None:
        self._document = document
        self._name = name

    def __call__(self, path: KeyPath) -> str:
        while path and path not in self._document.lines:
            path = path[:-1]
        return f"{self._name}:{self._document.lines.get(path, 1)}"
