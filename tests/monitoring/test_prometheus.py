"""A real Prometheus scrapes a running demo, and every query of dashboards and alerts is asked."""

import asyncio
import math
import re
import subprocess
import urllib.request

import pytest

from danzar.commands.jobs import ask
from danzar.config.load import load_config
from danzar.jobs.contract import JobRequest
from danzar.jobs.control import OWNER, SubmitJob
from danzar.workers.contract import ChatMessage, Generate
from tests.e2e.conftest import running_demo
from tests.monitoring.files import (
    BOARDS,
    labels_of,
    names_in,
    panels,
    queries,
    read_board,
    rules,
    tool,
)
from tests.monitoring.grafana_words import choices, filled_in
from tests.monitoring.people import post
from tests.monitoring.prometheus import running_prometheus

pytestmark = [pytest.mark.process, pytest.mark.model, pytest.mark.timeout(600)]

PAST_S = 600
# What a demo can't show, each with its reason.
WITHOUT_DATA = {
    "vlm_memory_fragmentation_percent": "torch's allocator on a CUDA card counts it",
    "danzar_estimate_error_ratio": "a simulated card measures nothing",
    "danzar_model_failed": "it is there for a model that can't be loaded alone",
}
CHAT_AND_VISION = next(path for path in BOARDS if path.stem == "chat-and-vision")
# Nobody can ask for a picture to be made in a demo.
CLASSES_ASKED = ("chat", "vision", "watch", "job")
each_board = pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    tool("prometheus")
    quick = {"DANZAR_VRAM__PRESSURE__CALM_S": "3", "DANZAR_VRAM__PRESSURE__MOVE_INTERVAL_S": "5"}
    data = tmp_path_factory.mktemp("data")
    with running_demo(data, DANZAR_BOT__HTTP__PORT="0", **quick) as running:
        yield running


@pytest.fixture(scope="module")
def address(demo):
    (port,) = re.findall(r"status at http://127\.0\.0\.1:(\d+)/", demo.log_file.read_text())
    return f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def prometheus(demo, address, tmp_path_factory):
    """After someone chatted, showed a picture, watched a clip, ran a job and played a game."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), address) as running:
        running.wait_for('up{job="danzar"} == 1')
        use_everything(demo, running)
        yield running


def use_everything(demo, prometheus):
    """Each step ends when Prometheus has seen it."""

    def say(channel, text, seen, picture=None):
        post(demo.url, channel, text, picture)
        prometheus.wait_for(seen)

    def answered(kind):
        return f'sum(danzar_requests_total{{request_class="{kind}", outcome="answered"}}) > 0'

    prometheus.wait_for('danzar_model_loaded{device="cuda:1"}')
    say("general", "@Danzar Say hello.", answered("chat"))
    say("game-night", "@Danzar is my health low?", answered("vision"), "low-health.png")
    say("game-night", "!watch start sample", answered("watch"))
    say("game-night", "!watch stop", "sum(danzar_queue_running) == 0")
    say("general", "!gpu batch 4", "vlm_batch_size_optimizations_total > 0")
    say("general", "!gpu optimize", "vlm_memory_optimizations_total > 1")
    say("general", "!gpu game 11GB 1", 'sum(danzar_evictions_total{reason="other_programs"}) > 0')
    prometheus.wait_for("sum(danzar_incidents_total) > 0")
    say("general", "!gpu game 0 1", 'vlm_memory_usage_percent{device="cuda:1"} < 50')
    prometheus.wait_for('sum(increase(danzar_loads_total{outcome="loaded"}[5m])) > 0')
    submit_jobs(demo, 1)
    prometheus.wait_for(answered("job"))
    submit_jobs(demo, 12)
    prometheus.wait_for("danzar_jobs_waiting > 0")
    prometheus.wait_for(answered("job").replace("> 0", "> 1"))


def submit_jobs(demo, count):
    """As ``danzar jobs submit`` does."""
    config = load_config(environ={"DANZAR_BOT__DATA_DIR": str(demo.log_file.parent)})
    work = Generate((ChatMessage("user", "Write a long story about the sea."),), max_tokens=400)
    wish = SubmitJob(JobRequest("smollm2", work, owner=OWNER))

    async def submit():
        await asyncio.gather(*(ask(config, wish) for _ in range(count)))

    asyncio.run(submit())


def test_every_scrape_works_and_brings_each_series_once(prometheus):
    (target,) = prometheus.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    (row,) = prometheus.now('avg_over_time(up{job="danzar"}[10m])')
    assert float(row["value"][1]) > 0.9, "more than a busy machine explains"
    assert prometheus.now("scrape_samples_scraped == scrape_samples_post_metric_relabeling")
    trouble = [x for x in prometheus.log().splitlines() if "level=warn" in x and "scrape" in x]
    assert trouble == [], "duplicates and samples out of order are told there"


def test_what_a_scrape_costs_is_known(prometheus, record_property):
    for name in ("scrape_duration_seconds", "danzar_scrape_seconds", "scrape_samples_scraped"):
        (row,) = prometheus.now(f'quantile_over_time(0.5, {name}{{job="danzar"}}[10m])')
        record_property(name, row["value"][1])
        assert float(row["value"][1]) > 0


def test_promtool_finds_nothing_to_say_about_the_metrics(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        text = answer.read()
    done = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


@each_board
def test_every_query_of_a_dashboard_has_data(prometheus, path):
    board = read_board(path)
    found = choices(board, prometheus)
    assert all(found.values()), found
    missing = [
        (title, expr)
        for title, expr in queries(board)
        if not any(has_data(prometheus, asked) for asked in filled_in(expr, found))
        and not names_in(expr) & WITHOUT_DATA.keys()
    ]
    assert missing == []


@pytest.mark.parametrize("kind", CLASSES_ASKED)
def test_the_waits_of_each_class_that_was_asked_for_are_shown(prometheus, kind):
    board = read_board(CHAT_AND_VISION)
    (panel,) = [p for p in panels(board) if p.get("repeat") == "request_class"]
    for target in panel["targets"]:
        for asked in filled_in(
            target["expr"], choices(board, prometheus) | {"request_class": [kind]}
        ):
            assert has_data(prometheus, asked), asked


@each_board
def test_every_legend_is_filled_in_by_what_its_query_returns(prometheus, path):
    board = read_board(path)
    found = choices(board, prometheus)
    for panel in panels(board):
        for target in panel["targets"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            for asked in filled_in(target["expr"], found):
                for row in prometheus.past(asked, PAST_S):
                    assert wanted <= row["metric"].keys(), (panel["title"], row["metric"])


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_every_alert_is_asked_of_series_that_exist(prometheus, rule):
    prometheus.now(rule["expr"])
    for name in names_in(rule["expr"]) - WITHOUT_DATA.keys():
        rows = prometheus.past(name, PAST_S) or prometheus.past(f"{name}_count", PAST_S)
        assert rows, f"{name} was never there"
        assert set(rows[0]["metric"]) - {"__name__"} <= expected_labels(name)


def test_no_rule_fails(prometheus):
    found = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(found) == len(rules("alert")) + len(rules("record"))
    assert [rule for rule in found if rule["health"] != "ok"] == []


def test_an_alert_really_fires(prometheus):
    prometheus.wait_for('ALERTS{alertname="VLMBatchSizeOptimizationActive", alertstate="firing"}')
    firing = [alert["annotations"] for alert in prometheus.get("alerts")["alerts"]]
    assert any("changes of a batch size" in notes["description"] for notes in firing)


def has_data(prometheus, expr):
    """Any figure in the past minutes: NaN is none."""
    rows = prometheus.past(expr, PAST_S)
    return any(math.isfinite(float(value)) for row in rows for _, value in row["values"])


def expected_labels(name):
    if name.startswith(("vlm_", "danzar_")):
        return labels_of(name)
    return {"job", "instance", "node"}
