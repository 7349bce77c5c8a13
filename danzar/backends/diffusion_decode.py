"""From latents to colours, by a pipeline's own autoencoder.

diffusers would do it at the end of its call. Done here, the denoiser can leave the card first, and
the autoencoder's precision is its own: SDXL's needs float32 beside a denoiser in half.
"""

from typing import Any

import numpy as np
import torch

from danzar.backends.diffusion_files import Frame


def decode_picture(pipeline: Any, latents: torch.Tensor) -> Frame:  # noqa: ANN401
    """The first picture of a batch, ``(rows, columns, 3)``; black where a checker objects."""
    decoded = _decode(pipeline, latents)
    checker = getattr(pipeline, "safety_checker", None)
    if checker is not None:
        decoded, _ = pipeline.run_safety_checker(decoded, decoded.device, checker.dtype)
        decoded = torch.as_tensor(decoded)
    return _frames(decoded[0].unsqueeze(1))[0]


def decode_video(pipeline: Any, latents: torch.Tensor) -> list[Frame]:  # noqa: ANN401
    """The frames of the first video of a batch."""
    return _frames(_decode(pipeline, latents)[0])


def _decode(pipeline: Any, latents: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    vae = pipeline.vae
    wide = latents.to(vae.dtype) / float(getattr(vae.config, "scaling_factor", 1.0))
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is not None and std is not None:
        shape = (1, -1, *(1,) * (latents.ndim - 2))
        wide = wide * torch.tensor(std).view(shape).to(wide) + torch.tensor(mean).view(shape).to(
            wide
        )
    decoded: torch.Tensor = vae.decode(wide, return_dict=False)[0]
    return decoded


def _frames(decoded: torch.Tensor) -> list[Frame]:
    """Frames of ``(3, frames, rows, columns)`` from -1 to 1."""
    found = []
    for frame in decoded.unbind(1):  # one after another: a video in float32 would take four times
        values = ((frame.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        found.append(np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy()))
    return found
