"""What is on the device, phase by phase. Pure.

Weights count by their precision and by what is kept off the card; activations by tokens while
denoising, and by the pixels of one frame (or tile) while decoding, as video autoencoders decode
frame after frame.
"""

import math
from dataclasses import replace
from functools import partial

from danzar.resources.geometry import Geometry
from danzar.resources.request import Attention, Offload, Precision, Request
from danzar.resources.requirement import Phase
from danzar.resources.schema import ModelProfile
from danzar.resources.subject import Subject

_WEIGHT_BYTES = {Precision.FP32: 4, Precision.HALF: 2, Precision.FP8: 1}
_HALF_BYTES = 2
_FLOAT_BYTES = 4
# Layer offload holds the block at work and the one that is fetched meanwhile.
_BLOCKS_ON_CARD = 2


def phases_of(request: Request, subject: Subject, shape: Geometry) -> tuple[Phase, ...]:
    """What is on the device while the text is encoded, the latent denoised, the result decoded."""
    text, denoiser, vae = weights_of(request, subject)
    request = request if subject.on_card else replace(request, offload=Offload.NONE)
    experts = subject.profile.denoiser.experts.value
    adapters = lora_bytes(request, subject.profile)
    text_here = 0 if request.text_on_cpu and subject.on_card else text
    phase = partial(_phase, subject)
    if request.offload is Offload.NONE:
        weights = text_here + denoiser + adapters + vae
        at_work = (weights, weights, weights)
    else:
        one = denoiser // experts + adapters
        if request.offload is Offload.LAYERS:
            blocks = subject.profile.denoiser.blocks.value
            one = min(one, _BLOCKS_ON_CARD * -(-one // blocks))
        at_work = (text_here, one, vae)
    encode = 0 if text_here == 0 else _encode_bytes(text)
    return (
        phase("encode", at_work[0], encode),
        phase("denoise", at_work[1], _denoise_bytes(request, subject.profile, shape)),
        phase("decode", at_work[2], _decode_bytes(request, subject.profile, shape)),
    )


def _phase(subject: Subject, name: str, weights: int, activations: int) -> Phase:
    slack = math.ceil(activations * subject.common.allocator.value)
    context = subject.common.cuda_context.value if subject.on_card else 0
    return Phase(name, weights, activations, slack + context)


def weights_of(request: Request, subject: Subject) -> tuple[int, int, int]:
    """Bytes of the text encoder, all experts of the denoiser, and the autoencoder."""
    profile = subject.profile
    text_bytes = _FLOAT_BYTES if request.precision is Precision.FP32 else _HALF_BYTES
    return (
        text_bytes * profile.text_encoder.parameters.value,
        _WEIGHT_BYTES[request.precision]
        * profile.denoiser.parameters.value
        * profile.denoiser.experts.value,
        _vae_value_bytes(request, profile) * profile.vae.parameters.value,
    )


def lora_bytes(request: Request, profile: ModelProfile) -> int:
    """Adapters stay in half precision beside the weights, whatever those are kept in."""
    return request.loras * request.lora_rank * profile.lora_parameters_per_rank.value * _HALF_BYTES


def _encode_bytes(text_bytes: int) -> int:
    """Activations of a prompt of 512 tokens: 126 MB beside UMT5's 11.4 GB, less for CLIP."""
    return -(-text_bytes // 80)


def _denoise_bytes(request: Request, profile: ModelProfile, shape: Geometry) -> int:
    net = profile.denoiser
    at_once = request.batch * (2 if request.guided and profile.guidance == "at once" else 1)
    wide = 2 if request.precision is Precision.FP32 else 1
    per_one = net.activation_bytes_per_token.value * shape.tokens
    if request.attention is Attention.PLAIN:
        per_one += net.attention_bytes_per_pair.value * shape.tokens**2
    return math.ceil(wide * at_once * per_one) + net.activation_base.value


def _decode_bytes(request: Request, profile: ModelProfile, shape: Geometry) -> int:
    vae = profile.vae
    wide = _vae_value_bytes(request, profile) / _HALF_BYTES
    tile = vae.tile_px.value**2
    tiled = request.vae_tiling and tile < shape.pixels
    pixels = tile if tiled else shape.pixels
    output = vae.tiled_output_bytes_per_value if tiled else vae.output_bytes_per_value
    frame = vae.decode_bytes_per_pixel.value * pixels
    return math.ceil(request.batch * wide * (frame + output.value * shape.values))


def _vae_value_bytes(request: Request, profile: ModelProfile) -> int:
    if request.precision is Precision.FP32:
        return _FLOAT_BYTES
    return profile.vae.bytes_per_value.value
