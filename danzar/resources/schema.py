"""The shape of ``profiles.yaml``: every figure names where it comes from."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from danzar.config.base import Fraction, KeyProblem, Settings, Size, must_be
from danzar.config.problems import nearest

SIZE_PATTERN = r"^\d{1,5}x\d{1,5}$"
SizeText = Annotated[
    str,
    Field(pattern=SIZE_PATTERN, json_schema_extra=must_be("WIDTHxHEIGHT, for example 1280x720")),
]
SourceKind = Literal["config", "card", "paper", "computed", "benchmark", "assumption"]


class Source(Settings):
    """Where figures come from."""

    kind: SourceKind = Field(description="What it is; an assumption is told wherever it is used.")
    text: str = Field(description="In words.")
    url: str | None = Field(None, description="Where it can be read.")


class Count(Settings):
    """A whole number and its source."""

    value: int = Field(ge=0)
    source: str = Field(description="A name under sources.")


class Figure(Settings):
    """A number and its source."""

    value: float = Field(ge=0)
    source: str = Field(description="A name under sources.")


class Bytes(Settings):
    """A size and its source."""

    value: Size
    source: str = Field(description="A name under sources.")


class Share(Settings):
    """A share of 1 and its source."""

    value: Fraction
    source: str = Field(description="A name under sources.")


class Common(Settings):
    """What holds for all models."""

    cuda_context: Bytes = Field(description="CUDA context, kernels and cuDNN's handles.")
    allocator: Share = Field(description="What the allocator keeps beyond the activations.")
    process_ram: Bytes = Field(description="RAM of a process with torch, before any model.")
    load_ram: Bytes = Field(description="RAM that loading takes at once, at most.")
    bus_bytes_per_s: Figure = Field(description="From RAM to a card.")
    video_bits_per_pixel: Figure = Field(description="Of the encoded file, per pixel and frame.")
    picture_bytes_per_pixel: Figure = Field(description="Of a PNG, at most.")
    tile_overlap: Figure = Field(description="Work with tiling on, as a multiple of that without.")
    disk_reserve: Bytes = Field(description="Left free in the folder of the results.")


class Card(Settings):
    """A graphics card, found by its name."""

    memory: Size = Field(description="Capacity, for `--card`.")
    tflops: Figure = Field(description="Dense, half precision, summed in float32.")
    compute_capability: Annotated[str, Field(pattern=r"^\d+\.\d$")] = Field(
        description="Where the driver does not say."
    )


class Denoiser(Settings):
    """The network that runs at every step."""

    parameters: Count = Field(description="Of one expert.")
    experts: Count = Field(description="Of which one works at each step.")
    blocks: Count = Field(description="That can be brought to the card one after another.")
    patch: tuple[int, int, int] = Field(description="Latent frames, rows, columns per token.")
    activation_bytes_per_token: Figure = Field(description="Half precision, fused attention.")
    activation_base: Bytes = Field(description="Beside that, whatever the size.")
    attention_bytes_per_pair: Figure = Field(description="More, where attention is not fused.")
    flops_per_token: Figure = Field(description="Of one pass.")
    flops_per_pair: Figure = Field(description="Of one pass, for every two tokens.")


class TextEncoder(Settings):
    """All text encoders of a pipeline together."""

    parameters: Count


class Autoencoder(Settings):
    """What turns latents into pictures."""

    parameters: Count
    bytes_per_value: Count = Field(description="4 where it is kept in float32.")
    compression: tuple[int, int, int] = Field(description="Frames, rows, columns per latent.")
    channels: Count
    decode_bytes_per_pixel: Figure = Field(description="Half precision; frames come in turn.")
    output_bytes_per_value: Figure = Field(description="Per decoded value, while they are joined.")
    tile_px: Count = Field(description="Side of a tile, with tiling on.")
    tiled_output_bytes_per_value: Figure = Field(description="The same with tiling on.")
    decode_flops_per_pixel: Figure = Field(description="Of every frame.")


class Frames(Settings):
    """How a video model counts time."""

    fps: Count
    trained: Count = Field(description="Frames of the clips that it was trained on.")


class Published(Settings):
    """What others measured, to hold an estimate against."""

    says: str
    source: str


class ModelProfile(Settings):
    """One kind of pipeline."""

    title: str
    task: Literal["t2v", "i2v", "ti2v", "t2i"]
    aliases: tuple[str, ...] = ()
    denoiser: Denoiser
    text_encoder: TextEncoder
    vae: Autoencoder
    frames: Frames | None = Field(None, description="None for pictures.")
    sizes: tuple[SizeText, ...] = Field(min_length=1, description="That it was trained for.")
    sizes_source: str
    steps: Count = Field(description="Where nothing is asked.")
    least_steps: Count = Field(description="Below, the result falls apart.")
    guidance: Literal["none", "in turn", "at once"] = Field(
        description="Whether the prompt and its negative are computed, and how."
    )
    lora_parameters_per_rank: Count
    efficiency: Share = Field(description="Of the card's peak that generation reaches.")
    on_cpu: bool = Field(description="Whether it is any use without a card.")
    published: tuple[Published, ...] = ()


class OwnerProfiles(Settings):
    """What an owner may add or replace, whole entries by their names."""

    sources: dict[str, Source] = Field(default_factory=dict)
    common: Common | None = None
    cards: dict[str, Card] = Field(default_factory=dict)
    models: dict[str, ModelProfile] = Field(default_factory=dict)


class Profiles(Settings):
    """Everything that is known."""

    sources: dict[str, Source]
    common: Common
    cards: dict[str, Card]
    models: dict[str, ModelProfile] = Field(min_length=1)

    @field_validator("cards")
    @classmethod
    def _longest_first(cls, cards: dict[str, Card]) -> dict[str, Card]:
        """So that a 4070 SUPER is not taken for a 4070."""
        return dict(sorted(cards.items(), key=lambda item: (-len(item[0]), item[0])))

    @model_validator(mode="after")
    def _sources_exist(self) -> "Profiles":
        for path, name in source_names(self):
            if name not in self.sources:
                close = nearest(name, list(self.sources))
                meant = f"; did you mean {close}?" if close else ""
                raise KeyProblem(path, f"there is no source {name!r}{meant}")
        return self

    def card(self, name: str) -> Card | None:
        """What is known of a card by the name that the driver gives it."""
        words = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
        return next((card for key, card in self.cards.items() if key.lower() in words), None)


def source_names(
    settings: Settings, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], str]]:
    """Every source that is named in it, with the path of the key that names it."""
    found: list[tuple[tuple[str, ...], str]] = []
    for name in type(settings).model_fields:
        found += _named_in(getattr(settings, name), (*path, name))
    return found


def _named_in(value: object, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(value, Settings):
        return source_names(value, path)
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _named_in(inner, (*path, key))]
    if isinstance(value, tuple):
        return [found for inner in value for found in _named_in(inner, path)]
    is_source = path[-1] in ("source", "sizes_source")
    return [(path, value)] if is_source and isinstance(value, str) else []
