"""Nodes as JSON, for ``danzar nodes --json`` (docs/json.md). Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from danzar.nodes.choice import Offer
from danzar.nodes.standing import Member
from danzar.nodes.wire import Answer

Json = dict[str, Any]


def nodes_json(members: Sequence[Member]) -> Json:
    """Every node with its devices and models."""
    return {"nodes": [_node(member) for member in members]}


def plan_json(model: str, offers: Sequence[Offer], members: Sequence[Member]) -> Json:
    """Which nodes would take a model's jobs, best first."""
    known = {member.name: member.state.model(model) for member in members}
    order = [
        {"node": offer.node, **msgspec.to_builtins(said)}
        for offer in offers
        if (said := known.get(offer.node)) is not None
    ]
    return {"model": model, "order": order}


def answer_json(node: str, answer: Answer) -> Json:
    """What a node answered."""
    return {"node": node, **msgspec.to_builtins(answer)}


def _node(member: Member) -> Json:
    state: Json = msgspec.to_builtins(member.state)
    for name in ("run", "phase", "phase_at", "began_at"):
        del state[name]
    standing = {"standing": member.standing.value, "since_s": member.since_s}
    return {"name": state.pop("name"), **standing, "silent_s": member.silent_s, **state}
