"""How long a generation takes: operations over speed. Pure.

2 operations per weight and token, and 4 x layers x width for every two tokens: the attention,
which therefore grows with the square of pixels times seconds. Layers that are fetched from RAM
come while the last ones work, so that a pass takes the longer of the two.
"""

from danzar.resources.geometry import Geometry
from danzar.resources.phases import weights_of
from danzar.resources.request import Offload, Precision, Request
from danzar.resources.subject import Learned, Subject

# TF32 runs at half the speed of half precision on every card since Ampere.
_FP32_SLOWDOWN = 2.0
_TERA = 1e12


def pass_flops(request: Request, subject: Subject, tokens: int) -> float:
    """Operations of one pass over all that is made at once."""
    net = subject.profile.denoiser
    one = net.flops_per_token.value * tokens + net.flops_per_pair.value * tokens**2
    return request.batch * one


def time_of(request: Request, subject: Subject, shape: Geometry) -> float | None:
    """Seconds of the whole generation; ``None`` where the device's speed is unknown."""
    if subject.speed.tflops is None:
        return None
    per_s = subject.speed.tflops * _TERA
    per_s /= _FP32_SLOWDOWN if request.precision is Precision.FP32 else 1.0
    passes = request.steps * (2 if request.guided and subject.profile.guidance != "none" else 1)
    pass_s = pass_flops(request, subject, shape.tokens) / per_s
    bus = subject.common.bus_bytes_per_s.value
    text, denoiser, vae = weights_of(request, subject)
    moved_s = 0.0
    if subject.on_card and request.offload is not Offload.NONE:
        moved_s = (text + denoiser + vae) / bus
    if subject.on_card and request.offload is Offload.LAYERS:
        pass_s = max(pass_s, denoiser / subject.profile.denoiser.experts.value / bus)
    decode = subject.profile.vae.decode_flops_per_pixel.value * shape.pixels * shape.frames
    tiles = subject.common.tile_overlap.value if request.vae_tiling else 1.0
    total_s = passes * pass_s + request.batch * decode * tiles / per_s + moved_s
    return total_s * subject.learned.time_factor


def time_source(subject: Subject, time_s: float | None) -> str:
    """What the time rests on, in words."""
    if time_s is None:
        return subject.speed.source
    learned = learned_text(subject.learned)
    return f"{subject.speed.source}, {learned}" if learned else subject.speed.source


def learned_text(learned: Learned) -> str:
    """How many runs the estimate was corrected by; empty for none."""
    if not learned.runs:
        return ""
    return f"corrected by {learned.runs} measured run{'s' if learned.runs > 1 else ''}"
