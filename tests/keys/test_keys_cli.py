"""`danzar keys`: says what to type next, refuses in one line, and never prints a secret."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from danzar.cli import app
from danzar.commands.doctor_finding import FAIL, OK, WARN
from danzar.commands.doctor_keys import check_keys, check_node_folder
from danzar.config.load import load_config
from danzar.keys.errors import KeyFileBad, QueueRefused, QueueUrlRefused
from danzar.keys.home import Wish, init_home, node_home
from danzar.keys.node_folder import read_node_folder

NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "keys"


def danzar(*arguments, fails=None):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if fails is None:
        assert result.exit_code == 0, result.output
    else:
        assert isinstance(result.exception, fails), result
    return result.output + str(result.exception or "")


def secrets_in(home):
    for folder in (home / "nodes").iterdir():
        yield read_node_folder(folder, NOW).login()[1]
    for file in home.rglob("*.key"):
        yield file.read_text().splitlines()[-2]


def test_from_nothing_to_three_machines(home):
    said = danzar("keys", "init", "--host", "192.168.1.10", "--node", "pc2", "--out", home)
    assert f"redis-server {home / 'server' / 'redis.conf'}" in said
    assert f"keys: {home / 'nodes' / 'main'}" in said
    assert "danzar node --keys pc2" in said
    said += danzar("keys", "node", "pc3", "--out", home)
    assert f"Carry {home / 'nodes' / 'pc3'} to pc3" in said
    said += danzar("keys", "renew", "pc2", "--out", home)
    said += danzar("keys", "show", "--out", home)
    said += danzar("keys", "check", "--out", home)
    said += danzar("keys", "check", "--keys", home / "nodes" / "pc3")
    shown = json.loads(danzar("keys", "show", "--json", "--out", home))
    assert shown["nodes"] == ["main", "pc2", "pc3"]
    assert {each["health"] for each in shown["certificates"]} == {"good"}
    said += json.dumps(shown) + danzar("keys", "remove", "pc3", "--out", home)
    found = [secret for secret in secrets_in(home) if secret in said]
    assert not found
    assert not re.search(r"PRIVATE KEY|rediss://\w+:", said)


def test_a_new_operator_is_to_be_made_known_to_the_others(home):
    danzar("keys", "init", "--host", "192.168.1.10", "--node", "pc2", "--out", home)
    assert "operators.txt" not in danzar("keys", "node", "pc3", "--out", home)
    said = danzar("keys", "node", "laptop", "--operator", "--out", home)
    assert f"Carry {home / 'operators.txt'} to main, pc2, pc3 too" in said
    assert "operators.txt to pc2, pc3, laptop" in danzar("keys", "renew", "main", "--out", home)


def test_keys_that_are_there_are_not_lost_by_mistake(home):
    danzar("keys", "init", "--host", "192.168.1.10", "--out", home)
    said = danzar("keys", "init", "--host", "192.168.1.10", "--out", home, fails=KeyFileBad)
    assert "nothing was changed" in said
    danzar("keys", "init", "--host", "192.168.1.10", "--out", home, "--force")


def test_a_node_without_keys_to_add_to_says_how_to_begin(home):
    said = danzar("keys", "node", "pc2", "--out", home, fails=KeyFileBad)
    assert "danzar keys init --host ADDRESS" in said


def test_a_queue_that_can_not_be_reached_fails_the_check(home, redis_program):
    init_home(home, Wish(("127.0.0.1",), port=1), NOW)
    result = CliRunner().invoke(app, ["keys", "check", "--out", str(home), "--connect"])
    assert result.exit_code == 1
    assert "nothing listens on port 1" in result.output


@pytest.mark.parametrize(("days", "level"), [(0, OK), (710, WARN), (740, FAIL)])
def test_the_doctor_tells_the_end_of_a_certificate(home, days, level):
    init_home(home, Wish(("127.0.0.1",)), NOW)
    now = NOW + timedelta(days=days)
    (finding,) = check_node_folder(node_home(home, "main"), now, connect=False)
    assert finding.level == level
    assert "danzar keys renew main" in finding.remedy + finding.text or level == OK


def config_with(tmp_path, **jobs):
    config = load_config(None)
    bot = config.bot.model_copy(
        update={
            "data_dir": str(tmp_path / "data"),
            "jobs": config.bot.jobs.model_copy(update=jobs),
            "node": config.bot.node.model_copy(update={"name": "pc2"}),
        }
    )
    return config.model_copy(update={"bot": bot})


def test_the_doctor_has_nothing_to_say_about_one_machine_alone(tmp_path):
    assert check_keys(config_with(tmp_path)) == []


@pytest.mark.redis
def test_the_doctor_knocks_at_the_queue(tls_redis, tmp_path):
    config = config_with(tmp_path, keys=str(tls_redis.folder("pc2")))
    assert [each.level for each in check_keys(config)] == [OK, OK]
    config = config_with(tmp_path, keys=str(tls_redis.folder("main")))
    assert [each.level for each in check_keys(config)] == [OK, FAIL, OK]


def test_the_doctor_refuses_an_unsafe_address(tmp_path):
    (finding,) = check_keys(config_with(tmp_path, url="redis://192.168.1.10/0"))
    assert finding.level == FAIL
    assert "danzar keys init --host 192.168.1.10" in finding.text


def test_all_keys_at_their_usual_place_are_looked_at(tmp_path):
    init_home(tmp_path / "data" / "keys", Wish(("127.0.0.1",)), NOW)
    names = {each.name for each in check_keys(config_with(tmp_path))}
    assert names == {f"certificate of {name}" for name in ("server", "main", "the authority")}


@pytest.mark.parametrize("command", ["node", "nodes"])
def test_a_plain_queue_elsewhere_is_refused_by_the_commands(command, tmp_path, monkeypatch):
    monkeypatch.setenv("DANZAR_BOT__DATA_DIR", str(tmp_path))
    said = danzar(command, "--queue", "redis://192.168.1.10:6379/0", fails=QueueUrlRefused)
    assert "danzar keys init --host 192.168.1.10 " in said


def test_a_node_that_the_queue_refuses_says_why_in_one_line(tmp_path, monkeypatch, home):
    monkeypatch.setenv("DANZAR_BOT__DATA_DIR", str(tmp_path))
    init_home(home, Wish(("127.0.0.1",), port=1), NOW)
    said = danzar("nodes", "--keys", node_home(home, "main"), fails=QueueRefused)
    assert "nothing listens on port 1" in said
