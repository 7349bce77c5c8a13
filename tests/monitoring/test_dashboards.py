"""Grafana's dashboards: up to date, valid, complete, and of metrics that exist."""

import copy
import re

import pytest
import yaml

from deploy.grafana.build import FILES
from deploy.grafana.render import DATA_SOURCE, board_json
from tests.monitoring.files import (
    BOARDS,
    GRAFANA,
    known_names,
    labels_of,
    names_in,
    panels,
    queries,
    read_board,
)
from tests.monitoring.grafana_schema import problems

SEEDS_PANELS = [
    "GPU Memory Usage",
    "GPU Memory Details",
    "GPU Utilization",
    "GPU Temperature",
    "Batch Size Optimization",
    "Memory Optimization Actions",
    "Memory Fragmentation",
    "Memory Optimization Success Rate",
    "Memory Freed Over Time",
]
each_board = pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)


def test_the_files_are_what_the_script_makes():
    made = {name: board_json(board) for name, board in FILES.items()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in BOARDS}
    assert kept == made, "run: python -m deploy.grafana.build"


@each_board
def test_grafanas_schema_allows_all_of_it(path):
    assert problems(read_board(path)) == []


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        pytest.param(lambda b: b.update(titel="x"), "titel: unknown", id="unknown field"),
        pytest.param(
            lambda b: b.pop("schemaVersion"), "schemaVersion: missing", id="missing field"
        ),
        pytest.param(lambda b: b.update(title=3), "title: 3 is no", id="wrong type"),
        pytest.param(
            lambda b: b["panels"][1]["options"].update(colorMode="loud"),
            "'loud'",
            id="no such word",
        ),
        pytest.param(
            lambda b: b["panels"][1].update(type="clock"), "no panel is called", id="no such panel"
        ),
        pytest.param(
            lambda b: b["panels"][1]["targets"][0].update(query="up"), "query: unknown", id="query"
        ),
        pytest.param(
            lambda b: b["annotations"]["list"][0].update(tagKeys=["a"]), "tagKeys", id="annotation"
        ),
    ],
)
def test_the_check_notices_what_grafana_would_not_read(break_it, said):
    board = copy.deepcopy(read_board(BOARDS[0]))
    break_it(board)
    assert any(said in problem for problem in problems(board))


def test_the_seeds_nine_panels_are_there_by_their_titles():
    titles = [
        panel["title"] for panel in panels(read_board(GRAFANA / "dashboards/gpu-memory.json"))
    ]
    assert set(SEEDS_PANELS) <= set(titles)


@each_board
def test_queries_name_only_metrics_that_exist(path):
    board = read_board(path)
    lists = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    for expr in [*(expr for _, expr in queries(board)), *lists]:
        assert names_in(expr), expr
        assert names_in(expr) <= known_names(), expr


@each_board
def test_legends_and_choices_use_labels_that_the_metrics_have(path):
    board = read_board(path)
    for panel in panels(board):
        for target in panel["targets"]:
            used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            named = [n for n in names_in(target["expr"]) if n.startswith(("vlm_", "danzar_"))]
            if named:
                assert used <= set.union(*map(labels_of, named)), (panel["title"], used)
    for variable in board["templating"]["list"][1:]:
        metric, label = re.fullmatch(
            r"label_values\((\w+).*, (\w+)\)", variable["query"]["query"]
        ).groups()
        assert label in labels_of(metric)


@each_board
def test_every_panel_is_explained_and_has_a_unit_or_words(path):
    board = read_board(path)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults.get("unit") or defaults.get("mappings"), panel["title"]
        assert defaults["thresholds"]["steps"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@each_board
def test_panels_neither_overlap_nor_leave_the_grid(path):
    taken = set()
    for panel in read_board(path)["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_what_grafana_is_provisioned_with_fits_the_dashboards():
    sources = read_provisioned("datasources")["datasources"]
    assert [source["uid"] for source in sources] == [DATA_SOURCE]
    (provider,) = read_provisioned("dashboards")["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert len({read_board(path)["uid"] for path in BOARDS}) == len(BOARDS)


def read_provisioned(kind):
    path = GRAFANA / "provisioning" / kind / "danzar.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))
