"""What a pipeline that makes pictures or videos needs, and the ways to load it with less.

Three moments decide: the text is read, the latent is denoised, the result is decoded. At each, the
weights that are there and the activations of that moment count; the largest is what is booked.

Weights come from the files. Activations are in proportion to the width of the networks and to the
pixels; the factors were counted by ``benchmarks/generation_memory.py`` from published
configurations, and ``docs/pictures.md`` has how well they fit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from danzar.core.footprint import Footprint
from danzar.core.variant import Rung, Setting, Variant
from danzar.estimate.diffusion_parts import Network, Parts, read_parts
from danzar.pipeline_kinds import FRAME_STEP, TILE_PX, Limits, find_kind, fit_size, limits_of
from danzar.units import MIB

# A process that computes with torch, diffusers and transformers; seen on Linux.
PROCESS_BYTES = 800 * MIB
_BYTE, _HALF, _FLOAT = 1, 2, 4
# Bytes in half precision per latent pixel and channel of a UNet's first level, for one picture:
# with attention there (Stable Diffusion), and without (SDXL).
_UNET_WITH_ATTENTION, _UNET = 52.2, 31.8
# Per token of a transformer: of its width, of its feed-forward's, and beside both.
_TRANSFORMER, _FEED_FORWARD, _TOKEN = 15.4, 1.92, 8600
# Per decoded pixel of one frame and channel of the autoencoder's first level.
_DECODE, _DECODE_VIDEO = 12.2, 106.0
# Decoded frames while they are joined: per value, and with tiling on.
_JOINED, _JOINED_TILES = 2.1, 6.5
_TEXT_SHARE = 1 / 80
_BASE_BYTES = {"picture": MIB, "video": 32 * MIB}
# What torch's allocator keeps beyond the activations; assumed.
_ALLOCATOR = 1.10
_DEFAULT_CHANNELS = 320
_DEFAULT_VAE_CHANNELS = 128
_LATENT_SIDE = 8
# Blocks that are on the card where they come in turn: the one at work and the one before it.
_BLOCKS_HERE = 2
# A rung that saves less than this share is not worth what it costs.
_LEAST_SAVING = 0.02
_LEAST_PIXELS = 256 * 256
_LEAST_FRAMES = 17
_SHRINKS = 3


@dataclass(frozen=True, slots=True)
class _Way:
    """How much of a pipeline is on the card."""

    offload: str
    tiled: bool
    max_pixels: int
    max_frames: int


@dataclass(frozen=True, slots=True)
class DiffusionEstimate:
    """A pipeline with its settings, ready to be asked."""

    parts: Parts
    limits: Limits
    settings: Mapping[str, Any]

    def footprint(self, *, on_card: bool, way: _Way | None = None) -> Footprint:
        """What the device takes at the worst moment, by parts; without a CUDA context."""
        way = way or self._configured
        if not on_card:
            way = replace(way, offload="none")
        moments = list(self._moments(way, on_card=on_card))
        weights, activations = max(moments, key=sum)
        return Footprint(weights_bytes=weights, activations_bytes=activations)

    def variants(self) -> tuple[Variant, ...]:
        """As configured, then in tiles, by networks, by blocks, and with room for less."""
        found = [self._variant(Rung.FULL, self._configured)]
        for rung, way in self._ways():
            variant = self._variant(rung, way)
            if variant.cuda_bytes < found[-1].cuda_bytes * (1 - _LEAST_SAVING):
                found.append(variant)
        return tuple(found)

    @property
    def host_weights_bytes(self) -> int:
        """All weights in the precision of the card: what waits beside it."""
        extra = self._vae_extra(on_card=True)
        return self._bytes(self.parts.all, on_card=True) + extra

    @property
    def _configured(self) -> _Way:
        return _Way(
            str(self.settings.get("offload", "none")),
            bool(self.settings.get("vae_tiling", False)),
            self.limits.max_pixels,
            self.limits.max_frames,
        )

    def _ways(self) -> Iterator[tuple[Rung, _Way]]:
        """Each includes the reductions of those before it."""
        way = self._configured
        if not way.tiled:
            way = replace(way, tiled=True)
            yield Rung.TILES, way
        for offload in ("model", "layers"):
            if way.offload != "layers" and way.offload != offload:
                way = replace(way, offload=offload)
                yield Rung.OFFLOAD, way
        for _ in range(_SHRINKS):
            if way.max_frames > _LEAST_FRAMES:
                frames = max(_LEAST_FRAMES, way.max_frames // 2 // FRAME_STEP * FRAME_STEP + 1)
                way = replace(way, max_frames=frames)
            elif way.max_pixels > _LEAST_PIXELS:
                way = replace(way, max_pixels=max(_LEAST_PIXELS, way.max_pixels // 2))
            else:
                return
            yield Rung.SIZE, way

    def _variant(self, rung: Rung, way: _Way) -> Variant:
        waits = way.offload != "none"
        return Variant(
            rung=rung,
            cuda_bytes=self.footprint(on_card=True, way=way).total_bytes,
            host_bytes=self.footprint(on_card=False, way=way).total_bytes,
            settings=tuple(self._changes(way)),
            beside_bytes=self.host_weights_bytes if waits else 0,
            loss=self._loss(way),
        )

    def _changes(self, way: _Way) -> Iterator[tuple[str, Setting]]:
        asked = self._configured
        if way.tiled != asked.tiled:
            yield "vae_tiling", way.tiled
        if way.offload != asked.offload:
            yield "offload", way.offload
        if way.max_pixels != asked.max_pixels:
            yield "max_pixels", way.max_pixels
        if way.max_frames != asked.max_frames:
            yield "max_frames", way.max_frames

    def _loss(self, way: _Way) -> str:
        asked, told = self._configured, []
        if way.offload != asked.offload:
            each = "network" if way.offload == "model" else "block"
            told.append(f"slower, with one {each} at a time on the card")
        elif way.tiled != asked.tiled:
            told.append("a little slower, decoding in tiles")
        if way.max_frames != asked.max_frames:
            told.append(f"with at most {way.max_frames} instead of {asked.max_frames} frames")
        if way.max_pixels != asked.max_pixels:
            fewer = replace(self.limits, max_pixels=way.max_pixels)
            width, height = fit_size(fewer, self.limits.width, self.limits.height)
            told.append(f"with pictures of at most {width} x {height}")
        return ", ".join(told)

    # --- the three moments --------------------------------------------------------------------

    def _moments(self, way: _Way, *, on_card: bool) -> Iterator[tuple[int, int]]:
        """Weights and activations of each."""
        parts, extra = self.parts, self._vae_extra(on_card=on_card)
        everything = self._bytes(parts.all, on_card=on_card) + extra

        def weights(networks: tuple[Network, ...], more: int = 0) -> int:
            if way.offload == "none":
                return everything
            return self._here_bytes(networks, way, on_card=on_card) + more

        text = self._bytes(parts.text, on_card=on_card) * _TEXT_SHARE
        yield weights(parts.text), round(text)
        wide = self._number_bytes(on_card=on_card) / _HALF * _ALLOCATOR
        base = _BASE_BYTES[self.limits.kind.makes]
        yield weights(parts.denoisers), round(self._denoise_bytes(way) * wide) + base
        wide = self._vae_number_bytes(on_card=on_card) / _HALF * _ALLOCATOR
        yield weights((parts.vae,), extra), round(self._decode_bytes(way) * wide)

    def _here_bytes(self, networks: tuple[Network, ...], way: _Way, *, on_card: bool) -> int:
        """What the largest of some networks has on the device while it works."""

        def numbers(n: Network) -> int:
            if way.offload != "layers":
                return n.numbers
            return n.apart + min(_BLOCKS_HERE * n.largest_block, n.numbers - n.apart)

        return max(self._each_bytes(n, on_card=on_card) * numbers(n) for n in networks)

    def _denoise_bytes(self, way: _Way) -> float:
        """In half precision: activations of one step."""
        config = self.parts.denoisers[0].config
        latent = way.max_pixels / _LATENT_SIDE**2
        if self.limits.kind.makes == "video":
            heads = int(config.get("num_attention_heads", 12))
            width = heads * int(config.get("attention_head_dim", 128))
            inner = int(config.get("ffn_dim", 4 * width))
            tokens = latent / 4 * ((way.max_frames - 1) // FRAME_STEP + 1)
            return tokens * (_TRANSFORMER * width + _FEED_FORWARD * inner + _TOKEN)
        channels = int((config.get("block_out_channels") or [_DEFAULT_CHANNELS])[0])
        first = str((config.get("down_block_types") or ["CrossAttn"])[0])
        per_channel = _UNET_WITH_ATTENTION if "CrossAttn" in first else _UNET
        return latent * channels * per_channel * (2 if self.limits.guided else 1)

    def _decode_bytes(self, way: _Way) -> float:
        """In half precision: of one picture, or of one frame beside those that are done."""
        config, makes = self.parts.vae.config, self.limits.kind.makes
        pixels = min(way.max_pixels, TILE_PX[makes] ** 2) if way.tiled else way.max_pixels
        if makes == "picture":
            channels = (config.get("block_out_channels") or [_DEFAULT_VAE_CHANNELS])[0]
            return pixels * int(channels) * _DECODE
        values = 3 * way.max_pixels * way.max_frames
        joined = values * (_JOINED_TILES if way.tiled else _JOINED)
        return pixels * int(config.get("base_dim", 96)) * _DECODE_VIDEO + joined

    # --- precision ------------------------------------------------------------------------------

    def _bytes(self, networks: tuple[Network, ...], *, on_card: bool) -> int:
        return sum(self._each_bytes(n, on_card=on_card) * n.numbers for n in networks)

    def _each_bytes(self, network: Network, *, on_card: bool) -> int:
        """Of one number; in 8 bits only the denoisers are kept."""
        if on_card and self._precision == "fp8" and network in self.parts.denoisers:
            return _BYTE
        return self._number_bytes(on_card=on_card)

    @property
    def _precision(self) -> str:
        return str(self.settings.get("precision", "auto"))

    def _number_bytes(self, *, on_card: bool) -> int:
        if not on_card:
            return _HALF if self._precision == "bf16" else _FLOAT
        return _FLOAT if self._precision == "fp32" else _HALF

    def _vae_number_bytes(self, *, on_card: bool) -> int:
        said = self.parts.vae.config.get("force_upcast")
        kind = self.limits.kind
        wide = kind.wide_vae if said is None or kind.makes == "video" else bool(said)
        return _FLOAT if wide else self._number_bytes(on_card=on_card)

    def _vae_extra(self, *, on_card: bool) -> int:
        """What an autoencoder in float32 takes beyond the common precision."""
        more = self._vae_number_bytes(on_card=on_card) - self._number_bytes(on_card=on_card)
        return self.parts.vae.numbers * more


def open_diffusion(path: str | Path, settings: Mapping[str, Any]) -> DiffusionEstimate:
    """Read a pipeline's files. Blocks for milliseconds.

    Raises:
        danzar.errors.ModelMissing: A network has no weights.
        danzar.errors.ModelRefused: A file is damaged, or it is no pipeline that Danzar runs.
    """
    kind = find_kind(Path(path), settings)
    limits = limits_of(kind, settings)
    return DiffusionEstimate(read_parts(Path(path), kind, settings), limits, settings)
