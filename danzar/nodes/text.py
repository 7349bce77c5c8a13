"""Nodes as people read them, in the terminal and in Discord. Pure."""

import math
from collections.abc import Sequence

from danzar.core.device_text import short_name
from danzar.explain.memory_text import format_duration, format_known
from danzar.explain.model_text import amount
from danzar.nodes.choice import Fit, Offer, hold_back_s
from danzar.nodes.standing import Member, Standing
from danzar.nodes.state import NodeDevice, NodeModel
from danzar.units import format_gib

ALONE = "This machine works alone: jobs.url is memory://. docs/two-machines.md adds another one."
_FITS = {
    Fit.LOADED: "has it",
    Fit.FREE: "has room for it",
    Fit.EVICT: "would make room for it",
    Fit.NEVER: "can't place it",
}


def standing_text(member: Member) -> str:
    """``alive for 2 h 5 min``; how long a lost one has been silent."""
    return f"{member.standing} for {format_duration(member.since_s)}"


def title_text(member: Member) -> str:
    """``pc2: alive for 45 s, 3 jobs``."""
    jobs = member.state.jobs
    running = f", {jobs} job{'' if jobs == 1 else 's'}" if jobs else ""
    lost = member.standing is Standing.LOST
    return f"{member.name}: {standing_text(member)}{'' if lost else running}"


def device_text(device: NodeDevice) -> str:
    """``cuda:0 RTX 3060 (simulated): 2.1GB of 12.0GB in use, room for 8.9GB``."""
    simulated = " (simulated)" if device.simulated else ""
    name = "" if device.label == "cpu" else f" {short_name(device.name)}"
    used = f"{format_known(device.used_bytes)} of {format_gib(device.total_bytes)} in use"
    room_bytes = device.room_bytes
    room = "" if room_bytes is None else f", room for {format_gib(max(0, room_bytes))}"
    return f"{device.label}{name}{simulated}: {used}{room}"


def loaded_text(models: Sequence[NodeModel]) -> str:
    """``chat (ready on cuda:0, 4.1GB), ...``; that nothing is loaded where nothing is."""
    loaded = [
        f"{model.name} ({model.state} on {model.device or 'no device yet'}, "
        f"{amount(model.size_bytes)}{_jobs(model)})"
        for model in models
        if model.fit is Fit.LOADED
    ]
    return ", ".join(loaded) or "nothing is loaded"


def node_lines(member: Member) -> list[str]:
    """A node: how it stands, then, unless it is lost, its devices and loaded models."""
    if member.standing is Standing.LOST:
        return [title_text(member)]
    devices = [f"  {device_text(device)}" for device in member.state.devices]
    return [title_text(member), *devices, f"  models: {loaded_text(member.state.models)}"]


def plan_lines(
    model: str, offers: Sequence[Offer], members: Sequence[Member], head_start_s: float
) -> list[str]:
    """Which node takes a model's next job, which ones help when it waits, and why."""
    known = {member.name: member.state.model(model) for member in members}
    return [
        f"{place}. {offer.node} {_wait_text(model, offer, offers, head_start_s)}: "
        f"{_offer_text(offer, said)}"
        for place, offer in enumerate(offers, 1)
        if (said := known.get(offer.node)) is not None
    ]


def _wait_text(model: str, mine: Offer, offers: Sequence[Offer], head_start_s: float) -> str:
    others = [offer for offer in offers if offer is not mine]
    wait_s = hold_back_s(model, mine, others, head_start_s=head_start_s, patience_s=math.inf)
    if wait_s == math.inf:
        return "takes no jobs"
    return f"takes jobs that waited {wait_s:g} s" if wait_s else "takes jobs at once"


def _offer_text(offer: Offer, known: NodeModel) -> str:
    where = f" on {known.device}" if known.device and offer.fit is not Fit.NEVER else ""
    return f"{_FITS[offer.fit]}{where}; {known.why}"


def _jobs(model: NodeModel) -> str:
    return f", {model.jobs} running" if model.jobs else ""
