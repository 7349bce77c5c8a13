"""What commands ask of the resource manager, and its answers as plain JSON."""

import asyncio
from typing import Any

import msgspec

from danzar.resources.cleanup import CleanupReport
from danzar.resources.manager import ResourceManager
from danzar.resources.preflight import Preflight
from danzar.resources.requirement import ResourceRequirement
from danzar.resources.system import lows

PATH = "/v1/resources"
Json = dict[str, Any]


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question."""


class Estimate(_Wish, tag="estimate", frozen=True):
    """What a generation would need."""

    params: Json


class Check(_Wish, tag="check", frozen=True):
    """Whether a card has room for so many MiB."""

    required_mb: float
    safety_margin_mb: float = 0.0


class Optimize(_Wish, tag="optimize", frozen=True):
    """What to change so that a generation fits."""

    params: Json
    time_limit_s: float | None = None


class Status(_Wish, tag="status", frozen=True):
    """VRAM, RAM, CPU, disk, and what the hardware can do."""


class Cleanup(_Wish, tag="cleanup", frozen=True):
    """Give back what nobody uses."""

    aggressive: bool = False


AnyWish = Estimate | Check | Optimize | Status | Cleanup


async def grant(resources: ResourceManager, wish: AnyWish) -> Json:
    """The answer to one question, as docs/resources.md has it.

    Raises:
        danzar.errors.DanzarError: It can't be answered; the message says why.
    """
    match wish:
        case Estimate(params):
            given = dict(params)
            model = str(given.pop("model_type", ""))
            return requirement_json(resources.estimate_resource_requirements(model, **given))
        case Check(required_mb, safety_margin_mb):
            available, message = resources.check_vram_availability(required_mb, safety_margin_mb)
            return {"available": available, "message": message}
        case Optimize(params, time_limit_s):
            return preflight_json(await resources.preflight(params, time_limit_s=time_limit_s))
        case Status():
            return await _status_json(resources)
        case Cleanup(aggressive):
            clean = resources.cleanup_aggressive if aggressive else resources.cleanup
            return cleanup_json(await clean())


def requirement_json(needs: ResourceRequirement) -> Json:
    """The requirement with the seed's figures in MiB beside the bytes."""
    body: Json = msgspec.to_builtins(needs)
    sums = [phase.total_bytes for phase in needs.phases]
    for phase, total_bytes in zip(body["phases"], sums, strict=True):
        phase["total_bytes"] = total_bytes
    return {**body, "vram_mb": needs.vram_mb, "ram_mb": needs.ram_mb, "disk_mb": needs.disk_mb}


def preflight_json(found: Preflight) -> Json:
    """The verdict, the parameters and every suggestion."""
    return {
        "verdict": found.verdict,
        "text": found.text,
        "device": found.device,
        "params": dict(found.params),
        "suggestions": msgspec.to_builtins(found.suggestions),
        "leaving": list(found.leaving),
        "shortfalls": dict(found.shortfalls),
        "requirement": requirement_json(found.requirement),
    }


def cleanup_json(report: CleanupReport) -> Json:
    """Bytes freed by process, and by device."""
    body: Json = msgspec.to_builtins(report)
    return {**body, "freed_bytes": report.freed_bytes}


async def _status_json(resources: ResourceManager) -> Json:
    capabilities = await asyncio.to_thread(resources.get_hardware_capabilities)
    return {
        "now": msgspec.to_builtins(resources.status()),
        "hardware": msgspec.to_builtins(capabilities),
        "lows": msgspec.to_builtins(lows(resources.history)),
    }
