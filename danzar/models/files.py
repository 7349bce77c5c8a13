"""From a model's name to its file."""

from importlib import metadata
from pathlib import Path

from danzar.config.models import ModelEntry
from danzar.config.settings import Config
from danzar.errors import ModelMissing, ModelRefused
from danzar.pipeline_kinds import INDEX_FILE

PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".pkl"})
_DESCRIPTIONS = frozenset({".json", ".txt"})
_OF_PIPELINE = PICKLE_SUFFIXES | _DESCRIPTIONS | {".safetensors", ".model"}
_WEIGHTS_IN_FOLDER = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def entry_of(config: Config, name: str) -> ModelEntry:
    """The entry of ``models.yaml``.

    Raises:
        ModelMissing: There is none by that name.
    """
    entry = config.models.models.get(name)
    if entry is None:
        known = ", ".join(sorted(config.models.models)) or "none"
        raise ModelMissing(f"there is no model {name!r} in models.yaml; known: {known}")
    return entry


def resolve(name: str, config: Config) -> Path | None:
    """The model's file or folder; ``None`` where its backend carries its own weights.

    Raises:
        ModelMissing: It is not listed, or its file is not there.
        ModelRefused: The path leads out of the project's folder.
    """
    path = locate(name, config)
    if path is not None and not path.exists():
        raise ModelMissing(_missing_message(name, config.models.models[name], path))
    return path


def locate(name: str, config: Config) -> Path | None:
    """Where the model's file belongs, whether it is there or not; see ``resolve``.

    Raises:
        ModelMissing: It is not listed, or its package is not installed.
        ModelRefused: The path leads out of the project's folder.
    """
    entry = entry_of(config, name)
    if entry.package is not None:
        return _package_file(name, entry.package.name, entry.package.file)
    return None if entry.path is None else inside(config.root, name, entry.path)


def weights_file(path: Path) -> Path:
    """The file that a checksum is of: ``path`` itself, or the weights in a folder.

    Raises:
        ModelMissing: The folder has no weights, or more than one file of them.
    """
    if not path.is_dir():
        return path
    named = [path / name for name in _WEIGHTS_IN_FOLDER if (path / name).is_file()]
    found = named or sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        raise ModelMissing(f"{path}: holds {len(found)} weights files; one is needed")
    return found[0]


def weights_files(path: Path) -> tuple[Path, ...]:
    """All files that a model is loaded from: of a pipeline's folder all that diffusers may read.

    Raises:
        ModelMissing: The folder has no weights, or is no pipeline and has several.
    """
    if not (path / INDEX_FILE).is_file():
        return (weights_file(path),)
    # Beside the folders of its networks, authors put the same weights again for other programs.
    found = [f for f in sorted(path.glob("*/**/*")) if f.suffix.lower() in _OF_PIPELINE]
    if all(file.suffix.lower() in _DESCRIPTIONS for file in found):
        raise ModelMissing(f"{path}: holds a pipeline's description, and no weights")
    return (path / INDEX_FILE, *found)


def check_allowed(name: str, config: Config, path: Path | None) -> None:
    """Refuse a pickle that nobody vouches for: loading one can run any code.

    Raises:
        ModelRefused: No ``sha256`` stands in the manifest and its owner does not allow it by name.
    """
    pickled = [] if path is None else [f for f in weights_files(path) if _is_pickle(f)]
    if path is None or not pickled:
        return
    vouched = entry_of(config, name).sha256 is not None or name in config.models.allow_unverified
    if not vouched:
        raise ModelRefused(
            f"{name}: {pickled[0].name} is a pickle, which can run code when it is loaded; put its "
            f"sha256 in models.yaml, or add {name} to allow_unverified there"
        )


def _is_pickle(file: Path) -> bool:
    """Whether it would be opened as a pickle: not where the same weights lie beside it safely."""
    if file.suffix.lower() not in PICKLE_SUFFIXES:
        return False
    in_pipeline = (file.parent.parent / INDEX_FILE).is_file()
    return not (in_pipeline and any(file.parent.glob("*.safetensors")))


def _package_file(name: str, package: str, file: str) -> Path:
    """The file of an installed distribution, which is never imported."""
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError as exc:
        raise ModelMissing(f"{name}: the package {package} is not installed; run: uv sync") from exc
    base = Path(str(distribution.locate_file(""))).resolve()
    return inside(base, name, file)


def inside(base: Path, name: str, relative: str) -> Path:
    """``base / relative``; links inside ``base`` may lead where their owner wants.

    Raises:
        ModelRefused: The path is absolute or climbs out of ``base``.
    """
    path = Path(relative)
    if path.is_absolute() or path.drive or ".." in path.parts or "\\" in relative:
        raise ModelRefused(
            f"{name}: {relative!r} must lie inside {base}; write it with / from there, without .."
        )
    return base / path


def _missing_message(name: str, entry: ModelEntry, path: Path) -> str:
    if entry.url is not None:
        return f"{name}: {path} is not there; run: danzar models pull {name}"
    if entry.package is not None:
        return f"{name}: the package {entry.package.name} has no file {entry.package.file}"
    return f"{name}: {path} is not there, and models.yaml has no url for it"
