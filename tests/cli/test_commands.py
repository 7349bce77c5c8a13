"""Exit status 0, 1 with exactly one line on stderr, or 2; JSON as docs/json.md has it."""

import asyncio
import hashlib
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from danzar.commands.gpu import status
from danzar.commands.terminal import log_to, one_line
from danzar.config.bot import BotConfig, HttpSettings
from danzar.config.settings import Config
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.device_memory import DeviceMemory
from danzar.errors import BadPicture, ConfigError
from danzar.http.status_json import devices_json

REPOSITORY = Path(__file__).resolve().parents[2]
CONTRACT = (REPOSITORY / "docs" / "json.md").read_text()
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA.GabcdE.abcdefghijklmnopqrstuvwxyz0123456789"


def failed_with_one_line(ended) -> str:
    """The line of a command that failed as it must."""
    assert ended.status == 1
    assert re.fullmatch(r"danzar: [^\n]+\n", ended.err), ended.err
    return ended.err


def is_documented(value: object, path: str = "") -> None:
    """Every key of a JSON answer stands in the contract."""
    if isinstance(value, list):
        for item in value:
            is_documented(item, path)
    if isinstance(value, dict):
        for key, inner in value.items():
            assert re.search(rf"\b{key}\b", CONTRACT), f"{path}.{key} is not in docs/json.md"
            is_documented(inner, f"{path}.{key}")


def parse(ended) -> dict:
    answer = json.loads(ended.out)
    assert answer["version"] == 1
    is_documented(answer)
    return answer


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, danzar.cli; print([m for m in ('torch', 'llama_cpp', 'discord', 'aiohttp', "
        "'pydantic', 'cv2', 'numpy', 'zmq', 'psutil') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_help_names_every_command(danzar) -> None:
    ended = danzar("--help")

    assert ended.status == 0
    for command in ("run", "demo", "see", "doctor", "gpu", "models", "config"):
        assert f" {command} " in ended.out


def test_the_version_is_the_packages(danzar) -> None:
    assert danzar("--version").out == "danzar 0.1.0\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuch",),
        ("gpu", "nosuch"),
        ("see",),
        ("see", "no-such-file.png"),
        ("demo", "--port", "70000"),
        ("models", "pull"),
        ("gpu", "status", "--nosuch"),
    ],
)
def test_a_wrong_call_is_status_2(danzar, arguments: tuple[str, ...]) -> None:
    assert danzar(*arguments).status == 2


class TestRun:
    def test_without_a_token_it_says_where_to_get_one(self, danzar) -> None:
        line = failed_with_one_line(danzar("run"))

        assert "DISCORD_TOKEN is not set" in line
        assert "danzar demo" in line

    def test_with_wrong_settings_it_names_the_first_and_counts_the_rest(
        self, danzar, tmp_path: Path
    ) -> None:
        (tmp_path / "vram_config.yaml").write_text("worker: 1\nmonitr: 2\n")

        line = failed_with_one_line(
            danzar("run", "--config", str(tmp_path), DISCORD_TOKEN="x", DANZAR_X__Y="1")
        )

        assert "vram_config.yaml:1: worker: unknown key; did you mean workers?" in line
        assert "(and 2 more: danzar config check)" in line

    async def test_a_token_that_discord_refuses_is_one_line(self, danzar) -> None:
        async def refuse(_request: web.Request) -> web.Response:
            return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)

        app = web.Application()
        app.router.add_get("/{path:.*}", refuse)
        async with TestServer(app, host="127.0.0.1") as server:
            ended = await asyncio.to_thread(
                danzar,
                "run",
                DISCORD_TOKEN=TOKEN,
                DANZAR_BOT__DISCORD__API_URL=str(server.make_url("/api/v10")),
                DANZAR_VRAM__PLACEMENT__PRELOAD="false",
            )

        assert "Discord refuses the token in DISCORD_TOKEN" in failed_with_one_line(ended)
        assert TOKEN not in ended.out + ended.err


class TestConfigCheck:
    def test_the_shipped_settings_are_in_order(self, danzar) -> None:
        ended = danzar("config", "check")

        assert (ended.status, ended.out, ended.err) == (
            0,
            "config: all settings are in order\n",
            "",
        )

    def test_every_mistake_is_a_line(self, danzar, tmp_path: Path) -> None:
        file = tmp_path / "vram_config.yaml"
        file.write_text("worker: 1\nmonitr: 2\n")

        ended = danzar("config", "check", str(tmp_path))

        assert failed_with_one_line(ended) == "danzar: 2 problems in the configuration\n"
        assert ended.out.splitlines() == [
            f"{file}:1: worker: unknown key; did you mean workers?",
            f"{file}:2: monitr: unknown key; did you mean monitor?",
        ]

    def test_a_file_means_the_folder_that_it_is_in(self, danzar, tmp_path: Path) -> None:
        file = tmp_path / "vram_config.yaml"
        file.write_text("worker: 1\n")

        answer = parse(danzar("config", "check", str(file), "--json"))

        assert answer["ok"] is False
        assert answer["problems"] == [
            {
                "where": f"{file}:1",
                "key": "worker",
                "message": "unknown key; did you mean workers?",
            }
        ]

    def test_a_token_in_a_file_is_refused_unseen(self, danzar, tmp_path: Path) -> None:
        (tmp_path / "bot_config.yaml").write_text(f"discord:\n  token: {TOKEN}\n")

        ended = danzar("config", "check", str(tmp_path))

        assert "secrets belong in DISCORD_TOKEN" in ended.out
        assert TOKEN not in ended.out + ended.err

    def test_a_folder_that_is_not_there(self, danzar) -> None:
        assert "no such folder" in failed_with_one_line(danzar("config", "check", "/nowhere"))


class TestGpu:
    def test_status_shows_the_simulated_cards_as_such(self, danzar) -> None:
        ended = danzar("gpu", "status")

        assert ended.status == 0
        assert "RTX 4070 SUPER (simulated)" in ended.out
        assert "chat 8.0GB" in ended.out

    def test_status_as_json(self, danzar) -> None:
        answer = parse(danzar("gpu", "status", "--json"))

        labels = [device["label"] for device in answer["devices"]]
        assert labels == ["cuda:0", "cuda:1", "cpu"]
        assert [device["simulated"] for device in answer["devices"]] == [True, True, False]
        assert answer["source"] == "driver"

    def test_vision_gives_the_device_and_the_reason(self, danzar) -> None:
        answer = parse(danzar("gpu", "vision", "--json"))

        assert (answer["device"], answer["simulated"]) == ("cuda:1", True)
        assert "available with" in answer["reason"]

    def test_vision_follows_the_settings(self, danzar) -> None:
        ended = danzar("gpu", "vision", DANZAR_VISION__GPU_MEMORY__VISION_DEVICE="cpu")

        assert ended.out.splitlines()[0] == "Device: cpu"

    def test_log_is_lines(self, danzar) -> None:
        answer = parse(danzar("gpu", "log", "--json"))

        assert len([line for line in answer["lines"] if "[" in line]) >= 3

    def test_nvml_that_is_demanded_and_absent_is_one_line(self, danzar, tmp_path: Path) -> None:
        ended = danzar(
            "gpu", "status", DANZAR_VRAM__TELEMETRY__MODE="nvml", LD_LIBRARY_PATH=str(tmp_path)
        )
        if ended.status == 0:
            pytest.skip("this machine has a driver")

        assert "NVIDIA" in failed_with_one_line(ended)

    async def test_a_running_bot_is_asked(self) -> None:
        card = DeviceSnapshot(
            "GPU-1", 0, "RTX 4070", DeviceKind.CUDA, 12, 5, 7, 1.0, 40.0, None, (), True, 0.0
        )
        body = devices_json([DeviceMemory(card, (), (), (), ())])

        async def answer(_request: web.Request) -> web.Response:
            return web.json_response(body)

        app = web.Application()
        app.router.add_get("/v1/devices", answer)
        async with TestServer(app, host="127.0.0.1") as server:
            http = HttpSettings(port=server.port or 0)
            said = await status(Config(root=REPOSITORY, bot=BotConfig(http=http)))

        assert (said["source"], said["devices"]) == ("bot", body["devices"])


class TestModels:
    def test_list_marks_what_is_used(self, danzar) -> None:
        answer = parse(danzar("models", "list", "--json"))

        models = {model["name"]: model for model in answer["models"]}
        assert models["smollm2"]["used"] is True
        assert models["smollm2"]["state"] == "here"
        assert models["qwen2.5-7b-instruct"]["used"] is False

    def test_verify_finds_the_shipped_chat_model_in_order(self, danzar) -> None:
        answer = parse(danzar("models", "verify", "smollm2", "--json"))

        assert [(m["ok"], m["basis"]) for m in answer["models"]] == [(True, "manifest")]

    def test_a_damaged_model_is_told(self, danzar, tmp_path: Path) -> None:
        folder = project(tmp_path, sha256="0" * 64)
        (tmp_path / "m.safetensors").write_bytes(b"x")

        ended = danzar("models", "verify", "--config", str(folder))

        assert "1 of 2 models are not in order" in failed_with_one_line(ended)
        assert "BAD  m: the file's sha256 is" in ended.out

    def test_an_unknown_model_is_one_line(self, danzar) -> None:
        line = failed_with_one_line(danzar("models", "pull", "nosuch"))

        assert "there is no model 'nosuch' in models.yaml; known: " in line

    async def test_pull_gets_a_model_and_checks_it(self, danzar, tmp_path: Path) -> None:

        async def serve(_request: web.Request) -> web.Response:
            return web.Response(body=b"weights")

        app = web.Application()
        app.router.add_get("/m", serve)
        async with TestServer(app, host="127.0.0.1") as server:
            sha256 = hashlib.sha256(b"weights").hexdigest()
            folder = project(tmp_path, sha256=sha256, url=str(server.make_url("/m")))
            ended = await asyncio.to_thread(
                danzar, "models", "pull", "m", "--config", str(folder), "--json"
            )

        assert ended.err == ""
        assert [m["sha256"] for m in parse(ended)["models"]] == [sha256]


class TestSee:
    def test_a_file_that_is_no_picture_is_one_line(self, danzar, tmp_path: Path) -> None:
        file = tmp_path / "picture.png"
        file.write_text("not a picture")

        assert "no picture" in failed_with_one_line(danzar("see", str(file)))

    def test_a_file_that_is_too_large_is_not_read(self, danzar, tmp_path: Path) -> None:
        file = tmp_path / "picture.png"
        file.write_bytes(b"x" * 2000)

        ended = danzar("see", str(file), DANZAR_BOT__PICTURES__MAX_BYTES="1000")

        assert "is larger than 1000 B (pictures.max_bytes" in failed_with_one_line(ended)

    @pytest.mark.model
    @pytest.mark.process
    def test_the_health_on_the_display_is_read(self, danzar, tmp_path: Path) -> None:
        boxes = tmp_path / "boxes.jpg"
        ended = danzar(
            "see",
            "assets/frames/low-health.png",
            "--question",
            "Is my health low?",
            "--annotated",
            str(boxes),
            "--json",
            DANZAR_MODELS__USE__DETECT="null",
            DANZAR_MODELS__USE__RANK="null",
        )

        answer = parse(ended)
        assert answer["hud"]["health"] == 20
        assert answer["answer"]
        assert {"decode", "read", "answer", "total"} <= set(answer["seconds"])
        assert boxes.read_bytes()[:2] == b"\xff\xd8"
        assert not list((tmp_path / "data").glob("*.db"))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("x"), "unexpected KeyError: 'x'"),
        (BadPicture("two\nlines"), "two lines"),
        (ExceptionGroup("g", [ValueError("a"), BadPicture("b")]), "b"),
        (ConfigError("a\nb\nc"), "a (and 2 more: danzar config check)"),
        (ValueError(f"token {TOKEN}"), "unexpected ValueError: token ***"),
    ],
)
def test_any_error_is_one_line_without_secrets(error: Exception, line: str) -> None:
    assert one_line(error) == line


def project(tmp_path: Path, sha256: str, url: str | None = None) -> Path:
    """A folder of settings with one model, ``m``."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "models.yaml").write_text(
        "use: {chat: null, detect: null, rank: m, read: null, media: media}\n"
        "models:\n"
        "  m:\n"
        "    {backend: clip, role: rank, path: m.safetensors,"
        f" sha256: '{sha256}', url: {json.dumps(url)}}}\n"
        "  media: {backend: media, role: media}\n"
    )
    return folder


def test_the_log_never_shows_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "a-local-token")
    stream = io.StringIO()
    log = logging.getLogger("test_the_log")
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        log_to(stream, logging.INFO)
        log.info("with %s and a-local-token", TOKEN)
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)

    assert stream.getvalue().endswith("INFO test_the_log: with *** and ***\n")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_is_one_line_and_status_1(tmp_path: Path) -> None:
    """A pull from a server that accepts and then says nothing is interrupted."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/m"
        folder = project(tmp_path, sha256="0" * 64, url=url)
        process = subprocess.Popen(
            [sys.executable, "-m", "danzar", "models", "pull", "m", "--config", str(folder)],
            cwd=REPOSITORY,
            env=dict(os.environ) | {"DANZAR_BOT__DATA_DIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        connection.close()

    assert (process.returncode, out, err) == (1, "", "danzar: stopped\n")
