"""Nodes as Discord shows them: pure, tested as text."""

from collections.abc import Sequence

from cogs.vision_render import inert
from danzar.nodes.choice import Offer
from danzar.nodes.standing import Member, Standing
from danzar.nodes.text import node_lines, plan_lines

# Discord's limit for an embed's description is 4,096 characters.
LONGEST_TEXT = 4000
NODES_TITLE = "🖥️ Machines"
_MARKS = {Standing.ALIVE: "🟢", Standing.DRAINING: "🟡", Standing.LOST: "🔴"}
_NOBODY = "No machine is known yet. Ask again in a moment."


def render_nodes(members: Sequence[Member]) -> str:
    """Every machine with its devices and models; the last ones in a line each if it gets long."""
    blocks = [_block(member) for member in members]
    text = "\n".join(blocks) or _NOBODY
    if len(text) > LONGEST_TEXT:
        text = "\n".join(block.partition("\n")[0] for block in blocks)
    return text[:LONGEST_TEXT]


def render_plan(
    model: str, offers: Sequence[Offer], members: Sequence[Member], head_start_s: float
) -> tuple[str, str]:
    """Title and text: which machine takes a model's jobs, best first."""
    lines = plan_lines(model, offers, members, head_start_s)
    text = "\n".join(inert(line) for line in lines)
    return f"🖥️ Who takes {inert(model)}", text[:LONGEST_TEXT]


def _block(member: Member) -> str:
    title, *rest = (inert(line) for line in node_lines(member))
    return "\n".join((f"{_MARKS[member.standing]} **{title}**", *rest))
