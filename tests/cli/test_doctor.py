"""The doctor's checks, each with the remedy that it names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from danzar.commands.doctor import (
    check_disk,
    check_models,
    check_python,
    judge_builds,
    probe_builds,
)
from danzar.commands.doctor_discord import ask_discord, check_token, judge_application
from danzar.commands.doctor_finding import FAIL, OK, WARN
from danzar.config.bot import DiscordSettings
from danzar.config.load import load_config
from danzar.units import GIB

REPOSITORY = Path(__file__).resolve().parents[2]
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA.GabcdE.abcdefghijklmnopqrstuvwxyz0123456789"
TORCH = {"version": "2.15", "cuda": "13.2", "cards": 2}
LLAMA = {"version": "0.3.36", "gpu": True}


@pytest.mark.parametrize(
    ("version", "level"), [((3, 10), FAIL), ((3, 11), OK), ((3, 13), OK), ((3, 14), FAIL)]
)
def test_which_python_will_do(version: tuple[int, int], level: str) -> None:
    assert check_python(version).level == level


class TestToken:
    @pytest.mark.parametrize(
        ("token", "official", "level", "words"),
        [
            pytest.param("", True, WARN, "is not set", id="none"),
            pytest.param(TOKEN, True, OK, "looks like one", id="a token"),
            pytest.param(f"Bot {TOKEN}", True, FAIL, 'begins with "Bot "', id="with its scheme"),
            pytest.param("hunter2", True, FAIL, "(7 characters), but is no bot token", id="other"),
            pytest.param("hunter2", False, OK, "is set", id="another server has other tokens"),
        ],
    )
    def test_its_shape(self, token: str, official: bool, level: str, words: str) -> None:
        finding = check_token(token, official=official)

        assert finding.level == level
        assert words in finding.text
        assert not token or token not in json.dumps(finding.to_json())

    @pytest.mark.parametrize(
        ("status", "body", "level", "name"),
        [
            pytest.param(200, {"id": "12", "flags": 1 << 18}, OK, "intents", id="on"),
            pytest.param(200, {"id": "12", "flags": 1 << 19}, OK, "intents", id="on, small bot"),
            pytest.param(200, {"id": "12", "flags": 0}, FAIL, "intents", id="off"),
            pytest.param(200, {"id": "12"}, WARN, "Discord", id="not told"),
            pytest.param(401, {}, FAIL, "Discord", id="refused"),
            pytest.param(500, {}, WARN, "Discord", id="trouble there"),
        ],
    )
    def test_what_discord_says(self, status: int, body: dict, level: str, name: str) -> None:
        finding = judge_application(status, body)

        assert (finding.level, finding.name) == (level, name)
        assert (level == FAIL) == ("Bot" in finding.remedy)

    async def test_discord_is_asked_with_the_token(self) -> None:
        asked = []

        async def answer(request: web.Request) -> web.Response:
            asked.append(request.headers["Authorization"])
            return web.json_response({"id": "12", "flags": 1 << 19})

        app = web.Application()
        app.router.add_get("/api/v10/applications/@me", answer)
        async with TestServer(app, host="127.0.0.1") as server:
            settings = DiscordSettings(api_url=str(server.make_url("/api/v10")))
            finding = await ask_discord(settings, TOKEN)

        assert asked == [f"Bot {TOKEN}"]
        assert "client_id=12&" in finding.text

    async def test_a_discord_that_is_not_there_is_a_warning(self, unused_tcp_port: int) -> None:
        settings = DiscordSettings(api_url=f"http://127.0.0.1:{unused_tcp_port}/api/v10")

        finding = await ask_discord(settings, TOKEN)

        assert (finding.level, finding.name) == (WARN, "Discord")


class TestBuilds:
    @pytest.mark.parametrize(
        ("found", "cards", "levels"),
        [
            pytest.param({"torch": TORCH, "llama": LLAMA}, 2, [OK, OK], id="all well"),
            pytest.param(
                {"torch": TORCH | {"cuda": None}, "llama": LLAMA}, 1, [FAIL, OK], id="torch for CPU"
            ),
            pytest.param(
                {"torch": TORCH, "llama": LLAMA | {"gpu": False}}, 1, [OK, WARN], id="llama for CPU"
            ),
            pytest.param(
                {"torch": TORCH | {"cards": 1}, "llama": LLAMA}, 2, [WARN, OK], id="a card unseen"
            ),
            pytest.param(
                {"torch": TORCH | {"cuda": None, "cards": 0}, "llama": LLAMA | {"gpu": False}},
                0,
                [OK, OK],
                id="no card",
            ),
            pytest.param(
                {"torch": {"error": "E"}, "llama": {"error": "E"}}, 0, [FAIL, FAIL], id="broken"
            ),
            pytest.param({"error": "killed"}, 0, [FAIL], id="not even a process"),
        ],
    )
    def test_what_they_can_do(self, found: dict, cards: int, levels: list[str]) -> None:
        findings = judge_builds(found, cards=cards)

        assert [finding.level for finding in findings] == levels
        assert all(finding.remedy for finding in findings if finding.level != OK)

    def test_a_process_that_dies_is_a_result(self) -> None:
        assert probe_builds((sys.executable, "-c", "raise SystemExit('gone')")) == {"error": "gone"}


@pytest.mark.parametrize(
    ("free_bytes", "level"), [(GIB // 2, FAIL), (5 * GIB, WARN), (50 * GIB, OK)]
)
def test_how_much_disk_will_do(tmp_path: Path, free_bytes: int, level: str) -> None:
    findings = check_disk([tmp_path / "not" / "yet", tmp_path], lambda _path: free_bytes)

    assert [finding.level for finding in findings] == [level]


def test_a_missing_model_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(
        "use: {chat: m, detect: null, rank: null, read: null, media: media}\n"
        "models:\n"
        "  m: {backend: llama, role: chat, path: m.gguf, url: 'https://models.example/m.gguf'}\n"
        "  media: {backend: media, role: media}\n"
    )

    findings = check_models(load_config(tmp_path, {}))

    assert [(f.level, f.remedy) for f in findings] == [(FAIL, "danzar models pull m"), (OK, "")]


@pytest.mark.process
def test_the_whole_examination_imports_no_model_library() -> None:
    code = (
        "import json, sys; from danzar.commands.doctor import examine; "
        "found = [f.to_json() for f in examine(None, {})]; "
        "print(json.dumps([found, [m for m in ('torch', 'llama_cpp') if m in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )

    found, imported = json.loads(done.stdout)
    assert imported == []
    assert {"Python", "config", "token", "driver", "torch", "model", "disk"} <= {
        finding["name"] for finding in found
    }
