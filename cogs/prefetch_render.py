"""Loading ahead as Discord shows it: pure, tested as text."""

from cogs.gpu_models_render import cut_blocks
from danzar.broker.prefetch_view import PrefetchView
from danzar.explain.prefetch_text import ahead_text, counts_text, expected_text, summary_text

PREFETCH_TITLE = "🔮 Loaded ahead"
_SHOWN = 8


def render_prefetch(view: PrefetchView) -> str:
    """The accounts, what is there now, and what is expected."""
    blocks = [summary_text(view)]
    if view.ahead:
        blocks.append("**There now**\n" + "\n".join(f"🔮 {ahead_text(a)}" for a in view.ahead))
    if view.expected:
        lines = [f"-# {expected_text(e)}" for e in view.expected[:_SHOWN]]
        blocks.append("**May be asked for**\n" + "\n".join(lines))
    if view.by_model:
        lines = [f"-# {counts_text(name, counts)}" for name, counts in view.by_model]
        blocks.append("**By model**\n" + "\n".join(lines))
    if view.enabled:
        aim = f"-# A load in vain weighs as {view.price_s:.0f} s of waiting now; "
        blocks.append(f"{aim}at most {100 * view.max_wasted:.0f} % in vain is aimed at.")
    return cut_blocks(blocks)
