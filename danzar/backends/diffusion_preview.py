"""Small pictures of how a generation stands, without decoding it.

A latent is turned into colours by one matrix. It is learned from the model's own autoencoder: a
picture of coloured patches is encoded, and the matrix is the one that brings its latents closest to
its colours. So it fits any autoencoder, and costs a thousandth of decoding.
"""

import io
from collections.abc import Callable
from typing import Any, Final

import torch
from PIL import Image

from danzar.workers.contract import Picture

_LONG_SIDE_PX: Final = 256
_QUALITY: Final = 70
_PATCHES: Final = 8
_PATCH_LATENTS: Final = 3
_SEED: Final = 7


class Previews:
    """Makes previews for one pipeline; learns its matrix when the first one is wanted."""

    def __init__(
        self,
        vae: Any,  # noqa: ANN401 - diffusers' classes
        device: torch.device,
        bring: Callable[[], None],
    ) -> None:
        """Learn nothing yet; ``bring`` has the autoencoder on the device for a while."""
        self._vae = vae
        self._device = device
        self._bring = bring
        self._matrix: torch.Tensor | None = None

    def picture(self, latents: torch.Tensor) -> Picture:
        """The first latent of a batch as a JPEG; of a video its middle frame.

        Args:
            latents: As the denoiser has them: ``(batch, channels, [frames,] rows, columns)``.
        """
        if self._matrix is None:
            self._bring()
            self._matrix = learn(self._vae, self._device)
        latent = latents[0].float().cpu()
        if latent.ndim > 3:  # noqa: PLR2004 - channels, frames, rows, columns
            latent = latent[:, latent.shape[1] // 2]
        return _jpeg(_colours(latent, self._matrix))


def learn(vae: Any, device: torch.device) -> torch.Tensor:  # noqa: ANN401 - diffusers' classes
    """The matrix ``(channels + 1, 3)`` from latents and a constant to colours of -1 to 1."""
    side = _PATCHES * _PATCH_LATENTS
    scale = _scale(vae)
    chance = torch.Generator().manual_seed(_SEED)
    patches = torch.rand(1, 3, _PATCHES, _PATCHES, generator=chance) * 2 - 1
    colours = torch.nn.functional.interpolate(patches, size=(side, side))
    picture = torch.nn.functional.interpolate(colours, scale_factor=scale)
    pixels = picture.to(device, vae.dtype)
    is_video = pixels.ndim < _wanted_dimensions(vae)
    encoded = vae.encode(pixels.unsqueeze(2) if is_video else pixels).latent_dist.mode()
    latent = (encoded[0, :, 0] if is_video else encoded[0]).float().cpu()
    latent = _as_denoised(vae, latent)
    rows = _with_constant(latent.flatten(1).T)
    found: torch.Tensor = torch.linalg.lstsq(rows, colours[0].flatten(1).T, driver="gelsd").solution
    return found


def _wanted_dimensions(vae: Any) -> int:  # noqa: ANN401
    return 5 if hasattr(vae.config, "z_dim") else 4


def _scale(vae: Any) -> int:  # noqa: ANN401
    """Pixels of a latent's side."""
    said = getattr(vae.config, "scale_factor_spatial", None)
    return int(said or 2 ** (len(vae.config.block_out_channels) - 1))


def _as_denoised(vae: Any, latent: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """As the denoiser has it: scaled, or normalised channel by channel."""
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is not None and std is not None:
        latent = (latent - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    return latent * float(getattr(vae.config, "scaling_factor", 1.0))


def _with_constant(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)


def _colours(latent: torch.Tensor, matrix: torch.Tensor) -> Image.Image:
    rgb = _with_constant(latent.flatten(1).T) @ matrix
    values = ((rgb.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    array = values.reshape(latent.shape[1], latent.shape[2], 3).numpy()
    return Image.fromarray(array)


def _jpeg(image: Image.Image) -> Picture:
    factor = _LONG_SIDE_PX / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BILINEAR).save(file, "JPEG", quality=_QUALITY)
    return Picture(*size, "jpeg", file.getvalue())
