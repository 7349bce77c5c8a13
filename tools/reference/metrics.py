"""Every metric of ``/metrics``, from the table that the collector reads."""

from danzar.metrics.names import METRICS, NODE, Metric
from tools.reference.markdown import code, page, sentence, table

ABOUT = """
What `/metrics` of the status server tells; [metrics](../metrics.md) says how it is read and what it
costs, [monitoring](../monitoring.md) what is made of it. Every metric has the label `node` besides
those in its row. What is not known has no sample: it is never 0.
"""
_GROUPS = {"vlm_": "The seed's names", "danzar_": "Danzar's own"}
HEAD = ("metric", "type", "labels", "meaning")


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    parts: list[str] = []
    for prefix, title in _GROUPS.items():
        rows = [_row(metric) for metric in METRICS if metric.name.startswith(prefix)]
        parts += [f"## {title}", table(HEAD, rows)]
    return page("Every metric", ABOUT, parts)


def _row(metric: Metric) -> tuple[str, str, str, str]:
    labels = ", ".join(code(label) for label in metric.labels if label != NODE)
    return code(metric.name), str(metric.kind), labels, sentence(metric.text)
