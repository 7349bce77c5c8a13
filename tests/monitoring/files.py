"""What is deployed for Prometheus and Grafana, read for the tests here."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from danzar.metrics.names import METRICS, NODE, Kind

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
BY_PROMETHEUS = {"up", "scrape_duration_seconds"}
_HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def tool(name):
    """Where ``prometheus`` or ``promtool`` is."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt install prometheus")
    return path


def read_yaml(name):
    return yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))


def rules(kind):
    """All rules with this key: ``alert`` or ``record``."""
    return [r for g in read_yaml("alerts.yml")["groups"] for r in g["rules"] if kind in r]


def read_board(path):
    return json.loads(path.read_text(encoding="utf-8"))


def panels(board):
    """All panels but the headlines."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board):
    """Each PromQL query of a dashboard, with what it is of."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for event in board["annotations"]["list"]:
        yield event["name"], event["expr"]


def names_in(expr):
    """The metrics that a query names; of a histogram's parts, the histogram."""
    found = re.findall(r"(?<![\w:$])((?:vlm_|danzar[_:]|scrape_)[\w:]*|up)(?![\w:(])", expr)
    return {_whole(name) for name in found}


def known_names():
    return {m.name for m in METRICS} | BY_PROMETHEUS | {r["record"] for r in rules("record")}


def labels_of(name):
    """The labels of one of our metrics, with those that Prometheus adds."""
    metric = next(m for m in METRICS if m.name == _whole(name))
    return {NODE, "job", "instance", *metric.labels}


def _whole(name):
    histograms = {m.name for m in METRICS if m.kind is Kind.HISTOGRAM}
    for part in _HISTOGRAM_PARTS:
        if name.endswith(part) and name.removesuffix(part) in histograms:
            return name.removesuffix(part)
    return name
