"""The alerts for Prometheus: valid, tried in both directions, and explained."""

import re
import shutil
import subprocess

import pytest

from tests.monitoring.files import PROMETHEUS, ROOT, known_names, names_in, read_yaml, rules, tool

ALERTS = {alert["alert"]: alert for alert in rules("alert")}
SEED = {
    "VLMMemoryOptimizerDown": ("critical", "1m"),
    "VLMMemoryUsageHigh": ("warning", "2m"),
    "VLMMemoryUsageCritical": ("critical", "1m"),
    "VLMMemoryOptimizationFailed": ("warning", None),
    "VLMMemoryFragmentationHigh": ("warning", "5m"),
    "VLMBatchSizeOptimizationActive": ("info", None),
}


def promtool(*arguments, folder=PROMETHEUS):
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_valid():
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")


def test_every_alert_fires_when_it_must_and_stays_quiet_when_it_must_not():
    promtool("test", "rules", "alerts_test.yml")


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_cases_of_both_kinds(name):
    cases = [
        case
        for test in read_yaml("alerts_test.yml")["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert any(case["exp_alerts"] for case in cases), "no case in which it fires"
    assert any(not case["exp_alerts"] for case in cases), "no case in which it must not"


@pytest.mark.parametrize(("old", "new"), [("> 90", "> 99"), ("for: 2m", "for: 10m")])
def test_the_cases_notice_a_changed_mark(tmp_path, old, new):
    text = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
    (tmp_path / "alerts.yml").write_text(text.replace(old, new), encoding="utf-8")
    shutil.copy(PROMETHEUS / "alerts_test.yml", tmp_path)
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", "alerts_test.yml", folder=tmp_path)


@pytest.mark.parametrize("name", SEED)
def test_the_seeds_alerts_are_there_with_their_marks(name):
    assert (ALERTS[name]["labels"]["severity"], ALERTS[name].get("for")) == SEED[name]


@pytest.mark.parametrize("rule", [*rules("alert"), *rules("record")], ids=str)
def test_rules_name_only_metrics_that_exist(rule):
    assert names_in(rule["expr"])
    assert names_in(rule["expr"]) <= known_names()


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_it_is_how_bad_and_where_to_read_on(name):
    notes = ALERTS[name]["annotations"]
    assert ALERTS[name]["labels"]["severity"] in {"critical", "warning", "info"}
    assert notes["summary"]
    assert notes["description"].endswith(".")
    page, _, anchor = notes["runbook_url"].partition("#")
    headlines = re.findall(r"^#+ (\S+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert name in headlines
    assert anchor == name.lower()


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-several.yml"])
def test_the_settings_are_valid(tmp_path, name):
    folder = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (folder / "danzar.key").write_text("danzar_a_key\n", encoding="utf-8")
    assert "SUCCESS" in promtool("check", "config", name, folder=folder)


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-several.yml"])
def test_the_settings_use_the_job_that_rules_and_dashboards_look_for(name):
    (scraped,) = read_yaml(name)["scrape_configs"]
    assert scraped["job_name"] == "danzar"
    assert read_yaml(name)["rule_files"] == ["alerts.yml"]
