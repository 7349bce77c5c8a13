"""A bot's status as its panel shows it: made by the production code from a small world."""

from datetime import UTC, datetime

from danzar.broker.decision import DecisionKind, make_decision
from danzar.broker.model_view import ModelView, ShareView
from danzar.core.book import LeaseState
from danzar.core.instance import InstanceState
from danzar.core.variant import Rung
from danzar.http.model_json import decision_json, model_json
from danzar.units import GIB, MIB

AT_S = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()


def view(name: str, **changes) -> ModelView:
    return ModelView(
        **{
            "name": name,
            "purpose": "chat",
            "state": InstanceState.COLD,
            "shares": (),
            "rung": None,
            "degraded": None,
            "estimated_bytes": 5 * GIB,
            "priority": 0,
            "pinned": False,
            "protected": False,
            "in_flight": 0,
            "waiting": 0,
            "reload_s": 9.4,
            "reload_measured": True,
            "use_probability": 0.35,
            "idle_s": None,
            "yielded": False,
            "last_error": None,
            "retry_in_s": None,
            **changes,
        }
    )


def share(device: str, estimated_bytes: int, leased_bytes: int, **changes) -> ShareView:
    uuid = f"GPU-{device[-1]}" if device != "cpu" else "cpu"
    rest = {"lease": LeaseState.RESIDENT, "layers": None, **changes}
    return ShareView(uuid, device, device != "cpu", estimated_bytes, leased_bytes, **rest)


VIEWS = (
    view(
        "qwen2.5-7b-instruct",
        state=InstanceState.READY,
        shares=(share("cuda:0", 5 * GIB, round(4.8 * GIB)),),
        rung=Rung.CONTEXT,
        degraded="qwen2.5-7b-instruct runs on cuda:0 with 2048 instead of 8192 tokens of context: "
        "6.2GB are needed, cuda:0 has room for 5.4GB.",
        pinned=True,
        protected=True,
        in_flight=1,
        waiting=2,
    ),
    view(
        "yolo-nano",
        purpose="vision",
        state=InstanceState.READY,
        shares=(share("cuda:1", 420 * MIB, 420 * MIB),),
        rung=Rung.FULL,
        reload_s=1.8,
        use_probability=0.08,
        idle_s=184.0,
        estimated_bytes=420 * MIB,
    ),
    view("clip-doom", purpose="vision", estimated_bytes=180 * MIB, yielded=True),
    view("sdxl", purpose="picture", state=InstanceState.FAILED, last_error="the file is damaged"),
)
DECISIONS = (
    make_decision(
        AT_S,
        DecisionKind.LOAD,
        "qwen2.5-7b-instruct",
        "cuda:0 has 5.4GB of headroom, 4.8GB are needed (with 2048 instead of 8192 tokens)",
        "cuda:0",
    ),
    make_decision(
        AT_S + 60,
        DecisionKind.YIELD,
        "clip-doom",
        "makes way for <b>game</b>.exe: others grew by 6.0GB on cuda:1, which is 93 % full",
        "cuda:1",
    ),
    make_decision(
        AT_S + 61,
        DecisionKind.EVICT,
        "sdxl",
        "room for qwen2.5-7b-instruct: cuda:0 lacks 1.1GB; goes: sdxl (3.1GB, reload 9.0 s x 4 %)",
        "cuda:0",
    ),
    make_decision(AT_S + 90, DecisionKind.FAILED, "sdxl", "the file is damaged", None),
)


def models() -> list:
    return [model_json(each) for each in VIEWS]


def decisions() -> list:
    return [decision_json(each) for each in DECISIONS]
