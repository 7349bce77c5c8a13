"""Rules over several files: what one names must be in the other, or it could never work."""

from collections.abc import Iterator
from pathlib import Path

from danzar.config.models import AUTO, ModelEntry, ModelsConfig
from danzar.config.profile import ConceptCondition, HudCondition, Profile, SeenCondition
from danzar.config.settings import Config
from danzar.config.yaml_lines import KeyPath

Wrong = tuple[str, KeyPath, str]


def cross_problems(config: Config) -> Iterator[Wrong]:
    """What is wrong between the files, as (file, key, message)."""
    for name, profile in config.bot.profiles.items():
        yield from _rule_problems(config, name, profile)
    yield from _model_problems(config)


def resolve_roles(config: Config) -> Config:
    """The same settings with ``auto`` in ``use`` replaced by the model that is meant.

    ``auto`` takes the model that ``vision_config.yaml`` names where its file is there, else the
    first listed model of the role whose file is there, else the one that was named.
    """
    use = config.models.use
    chosen = {
        "detect": _choose(config, "detect", use.detect, _named_detector(config)),
        "rank": _choose(config, "rank", use.rank, _named_ranker(config)),
    }
    models = config.models.model_copy(update={"use": use.model_copy(update=chosen)})
    return config.model_copy(update={"models": models})


def _rule_problems(config: Config, name: str, profile: Profile) -> Iterator[Wrong]:
    for i, rule in enumerate(profile.rules):
        path: KeyPath = ("profiles", name, "rules", i, "when")
        match rule.when:
            case SeenCondition(label=label) if label not in config.vision.yolo.classes:
                known = ", ".join(config.vision.yolo.classes)
                message = f"{label!r} is no class of vision_config.yaml (yolo.classes: {known})"
                yield "bot", (*path, "label"), message
            case HudCondition(field=field) if field not in profile.hud:
                yield "bot", (*path, "field"), f"{field!r} is not under hud of this profile"
            case ConceptCondition(concept=concept) if concept not in profile.concepts:
                message = f"{concept!r} is not under concepts of this profile"
                yield "bot", (*path, "concept"), message
            case _:
                pass


def _model_problems(config: Config) -> Iterator[Wrong]:
    use, vision = config.models.use, config.vision
    listed = ", ".join(sorted(config.models.models)) or "nothing"
    if use.detect == AUTO and config.models.models and _named_detector(config) is None:
        message = f"{vision.yolo.model_path!r} is the path of no model in models.yaml"
        yield "vision", ("yolo", "model_path"), f"{message}; listed: {listed}"
    if use.rank == AUTO and config.models.models and _named_ranker(config) is None:
        message = f"{vision.clip.model_name!r} names no CLIP model in models.yaml"
        yield "vision", ("clip", "model_name"), f"{message}; listed: {listed}"


def _named_detector(config: Config) -> str | None:
    """The model whose path (or name) is ``yolo.model_path``."""
    wanted = config.vision.yolo.model_path
    return next(
        (name for name, entry in _of_role(config.models, "detect") if wanted in (name, entry.path)),
        None,
    )


def _named_ranker(config: Config) -> str | None:
    """The model that ``clip.model_name`` names: by its name here, or by open_clip's."""
    wanted = _plain(config.vision.clip.model_name)
    return next(
        (
            name
            for name, entry in _of_role(config.models, "rank")
            if wanted in (_plain(name), _plain(str(entry.settings.get("architecture", ""))))
        ),
        None,
    )


def _plain(name: str) -> str:
    """``ViT-B/32`` and ``ViT-B-32`` are the same model to open_clip."""
    return name.replace("/", "-").lower()


def _choose(config: Config, role: str, used: str | None, named: str | None) -> str | None:
    if used != AUTO:
        return used
    order = [(named, config.models.models[named])] if named else []
    order += _of_role(config.models, role)
    present = (name for name, entry in order if _is_there(config.root, entry))
    return next(present, named)


def _of_role(models: ModelsConfig, role: str) -> list[tuple[str, ModelEntry]]:
    return [(name, entry) for name, entry in models.models.items() if entry.role == role]


def _is_there(root: Path, entry: ModelEntry) -> bool:
    return entry.path is None or (root / entry.path).exists()
