"""What a request needs: of a card, of the host, of the disk, and how long. Pure.

The worst of three moments decides (``phases``); steps change the time alone (``timing``).
"""

import math

from danzar.resources.geometry import Geometry, geometry
from danzar.resources.phases import lora_bytes, phases_of, weights_of
from danzar.resources.request import Offload, Request
from danzar.resources.requirement import ResourceRequirement
from danzar.resources.subject import NOTHING_LEARNED, Subject
from danzar.resources.timing import learned_text, time_of, time_source

_FLOAT_BYTES = 4


def estimate(request: Request, subject: Subject) -> ResourceRequirement:
    """What the request needs of the card, the host and the disk, and how long it takes."""
    shape = geometry(request, subject.profile)
    phases = phases_of(request, subject, shape)
    peak = max(phase.total_bytes for phase in phases)
    learned = subject.learned if subject.on_card else NOTHING_LEARNED
    vram = math.ceil(peak * learned.vram_factor) if subject.on_card else 0
    ram = _ram_bytes(request, subject, shape) + (0 if subject.on_card else peak)
    time_s = time_of(request, subject, shape)
    return ResourceRequirement(
        model_type=subject.name,
        device="cuda" if subject.on_card else "cpu",
        size=request.size,
        frames=shape.frames,
        steps=request.steps,
        vram_bytes=vram,
        ram_bytes=ram,
        disk_bytes=_disk_bytes(request, subject, shape),
        weights_bytes=sum(weights_of(request, subject)),
        cpu_threads=1 if subject.on_card else subject.cpu_threads,
        estimated_time_seconds=time_s,
        time_source=time_source(subject, time_s),
        vram_source=learned_text(learned) or "estimate from the model's geometry",
        phases=phases,
        tokens=shape.tokens,
        assumptions=subject.assumptions,
    )


def _ram_bytes(request: Request, subject: Subject, shape: Geometry) -> int:
    """The process, the frames as float32, and what is kept off the card or passes through."""
    text, denoiser, vae = weights_of(request, subject)
    frames = request.batch * _FLOAT_BYTES * shape.values
    kept = 0
    if subject.on_card and request.offload is not Offload.NONE:
        kept = text + denoiser + vae + lora_bytes(request, subject.profile)
    elif subject.on_card and request.text_on_cpu:
        kept = text
    passing = min(subject.common.load_ram.value, max(text, denoiser, vae))
    return subject.common.process_ram.value + max(kept + frames, kept + passing)


def _disk_bytes(request: Request, subject: Subject, shape: Geometry) -> int:
    pixels = request.batch * shape.pixels * shape.frames
    if subject.profile.frames is None:
        return math.ceil(pixels * subject.common.picture_bytes_per_pixel.value)
    return math.ceil(pixels * subject.common.video_bits_per_pixel.value / 8)
