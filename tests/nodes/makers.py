"""Nodes, models and members with just what a test is about."""

from danzar.nodes.choice import Fit
from danzar.nodes.standing import Member, Standing
from danzar.nodes.state import NodeDevice, NodeModel, NodeState, Phase
from danzar.units import GIB


def device(label: str = "cuda:0", **changes) -> NodeDevice:
    known = {
        "label": label,
        "name": "NVIDIA GeForce RTX 3060",
        "total_bytes": 12 * GIB,
        "free_bytes": 10 * GIB,
        "used_bytes": 2 * GIB,
        "room_bytes": 9 * GIB,
        "own_bytes": 0,
        "simulated": True,
    }
    return NodeDevice(**(known | changes))


def model(name: str = "chat", fit: Fit = Fit.FREE, card_gib: int = 12, **changes) -> NodeModel:
    known = {
        "name": name,
        "role": "chat",
        "backend": "llama",
        "state": "ready" if fit is Fit.LOADED else "cold",
        "fit": fit,
        "device": "cuda:0",
        "card_bytes": card_gib * GIB,
        "size_bytes": GIB,
        "degraded": False,
        "why": "cuda:0 has 9.0GB of headroom, 1.0GB are needed",
    }
    return NodeModel(**(known | changes))


def node(name: str = "pc1", *models: NodeModel, **changes) -> NodeState:
    known = {
        "name": name,
        "run": f"run of {name}",
        "version": "0.1.0",
        "phase": Phase.SERVING,
        "began_at": 100.0,
        "phase_at": 100.0,
        "failure_after_s": 30.0,
        "devices": (device(),),
        "models": models,
    }
    return NodeState(**(known | changes))


def member(
    name: str = "pc1",
    *models: NodeModel,
    standing: Standing = Standing.ALIVE,
    since_s: float = 45.0,
    **changes,
) -> Member:
    return Member(node(name, *models, **changes), standing, since_s, 1.0)
