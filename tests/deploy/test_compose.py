"""The compose files: what is reached, by whom, and that Danzar takes its settings from there."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from danzar.config.load import load_config
from danzar.keys.queue_url import check_queue_url

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
CUDA = yaml.safe_load((FOLDER / "compose.cuda.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


@each_service
def test_a_service_has_no_rights_and_can_write_only_to_its_volumes(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]


@each_service
def test_ports_are_published_on_this_machine_alone(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert bool(published) == (name in ("danzar", "grafana"))


@each_service
def test_no_secret_stands_in_the_file(name: str) -> None:
    given = SERVICES[name].get("environment", {})
    secret = {key: v for key, v in given.items() if any(w in key for w in ("TOKEN", "KEY", "PASS"))}
    assert all(key.endswith("_FILE") for key in secret)
    assert all(value.startswith("/run/secrets/") for value in secret.values())
    for used in SERVICES[name].get("secrets", []):
        assert COMPOSE["secrets"][used]["file"].startswith("./secrets/")


@each_service
def test_images_of_others_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert name == "danzar" or tag.lstrip("v")[0].isdigit()


@each_service
def test_files_that_are_mounted_are_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
        else:
            assert source in COMPOSE["volumes"], source


def test_every_service_but_danzar_says_how_its_health_is_asked() -> None:
    # Danzar's is in its image.
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {
        "danzar"
    }


def test_the_queue_is_reached_through_its_socket_alone() -> None:
    redis = SERVICES["redis"]
    assert redis["network_mode"] == "none"
    assert "--port 0" in redis["command"]
    url = SERVICES["danzar"]["environment"]["DANZAR_BOT__JOBS__URL"]
    assert f"--unixsocket {url.removeprefix('unix://')}" in redis["command"]
    assert check_queue_url(url).scheme == "unix"


def test_prometheus_and_grafana_meet_danzar_in_a_network_without_a_way_out() -> None:
    assert COMPOSE["networks"]["monitoring"] == {"internal": True}
    assert SERVICES["prometheus"]["networks"] == ["monitoring"]


def test_danzar_takes_the_settings_that_it_is_given() -> None:
    given = SERVICES["danzar"]["environment"]
    config = load_config(ROOT / "config", environ=given)
    assert config.bot.http.host == "0.0.0.0"
    assert config.bot.http.hosts == ("danzar",)
    assert config.bot.jobs.url == "unix:///run/queue/redis.sock"


def test_prometheus_asks_danzar_by_a_name_that_it_answers_to() -> None:
    scrape = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"][0]
    host, _, port = scrape["static_configs"][0]["targets"][0].partition(":")
    config = load_config(ROOT / "config", environ=SERVICES["danzar"]["environment"])
    assert host in config.bot.http.hosts
    assert int(port) == config.bot.http.port
    assert scrape["job_name"] == "danzar"


def test_danzar_has_longer_to_end_than_its_jobs() -> None:
    grace = SERVICES["danzar"]["stop_grace_period"]
    config = load_config(ROOT / "config", environ={})
    assert int(grace.removesuffix("m")) * 60 > config.bot.jobs.drain_s


def test_cards_are_asked_for_only_on_top() -> None:
    devices = CUDA["services"]["danzar"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert "devices" not in json.dumps(COMPOSE)


def test_docker_compose_itself_accepts_the_files() -> None:
    command = compose_command()
    if command is None:
        pytest.skip("docker compose is not installed")
    for files in (["compose.yaml"], ["compose.yaml", "compose.cuda.yaml"]):
        named = [word for file in files for word in ("-f", str(FOLDER / file))]
        said = subprocess.run(
            [*command, *named, "config", "--quiet"], capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr


def compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        said = subprocess.run([*command, "version"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and "v2" in said.stdout.replace("version 2", "v2"):
            return command
    return None


def test_secrets_are_made_once_and_for_their_owner(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "make-secrets.sh", tmp_path)
    for token in ("first", "second"):
        subprocess.run(
            [tmp_path / "make-secrets.sh"],
            env={"PATH": "/usr/bin:/bin", "DISCORD_TOKEN": token},
            stderr=subprocess.DEVNULL,
            check=True,
        )
    made = tmp_path / "secrets"
    assert (made / "discord_token").read_text() == "first"
    assert made.stat().st_mode & 0o777 == 0o700
    assert len((made / "grafana_password").read_text()) >= 24
