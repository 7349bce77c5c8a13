"""From pixels and seconds to latents and tokens, which is what memory and time follow. Pure.

A video of F frames and H x W pixels becomes a latent of ((F - 1) / ct + 1) x H / ch x W / cw
(``compression``; a causal autoencoder keeps the first frame by itself), and the latent becomes
tokens of ``patch`` latents each. Activations grow with the tokens, and so with pixels times
frames; attention grows with their square, and only in time, as fused kernels hold no square
(Dao et al., FlashAttention, arXiv:2205.14135). So a fixed factor per resolution can't be right:
720p has 2.3 times the pixels of 480p, and takes 2.3 times the activations but up to 5.3 times the
attention's time.
"""

from dataclasses import dataclass

from danzar.resources.request import Request
from danzar.resources.schema import ModelProfile


@dataclass(frozen=True, slots=True)
class Geometry:
    """The sizes that a request comes to.

    Attributes:
        frames: That are made; 1 for a picture.
        tokens: Of one video or picture, without text.
        pixels: Of one frame.
        values: Colours of all frames of one video or picture.
    """

    frames: int
    tokens: int
    pixels: int

    @property
    def values(self) -> int:
        """Three colours for each pixel of each frame."""
        return 3 * self.pixels * self.frames


def geometry(request: Request, profile: ModelProfile) -> Geometry:
    """The geometry; frames are those that the autoencoder can make, the next above the duration."""
    frames = frames_of(request, profile)
    step_t, step_h, step_w = profile.vae.compression
    patch_t, patch_h, patch_w = profile.denoiser.patch
    latent_frames = (frames - 1) // step_t + 1
    tokens = (
        -(-latent_frames // patch_t)
        * (request.height // step_h // patch_h)
        * (request.width // step_w // patch_w)
    )
    return Geometry(frames, tokens, request.width * request.height)


def frames_of(request: Request, profile: ModelProfile) -> int:
    """Frames of the request: one more than a multiple of the autoencoder's step."""
    if request.duration_s is None:
        return 1
    step = profile.vae.compression[0]
    wanted = max(1, round(request.duration_s * request.fps))
    return -(-(wanted - 1) // step) * step + 1
