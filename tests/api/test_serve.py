"""``danzar serve`` as people start it: the lines of docs/api.md, keys, and the end."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.tiny_pipelines import TinyPipelines, add_tiny

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/api.md").read_text()
LINES = re.findall(r"```bash\n(curl .+?)\n```", PAGE, re.DOTALL)
PATIENCE_S = 120

pytestmark = [pytest.mark.process, pytest.mark.model]


def danzar(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "danzar", *words, "--config", str(folder / "config")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass(frozen=True)
class Server:
    folder: Path
    url: str
    process: subprocess.Popen[str]

    def curl(self, *words: str) -> str:
        run = subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "100", *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def get(self, path: str, *words: str):
        return json.loads(self.curl(f"{self.url}{path}", *words))

    def type(self, line: str, job_id: str = "abc123"):
        """Run a line of the page as it is written, but for the port and the job's id."""
        line = line.split("\n#")[0].replace("\\\n", " ")
        line = line.replace("http://localhost:8000", self.url.replace("127.0.0.1", "localhost"))
        words = shlex.split(line.replace("abc123", job_id))
        assert words[0] == "curl"
        return json.loads(self.curl(*words[1:]))

    def ended(self, job_id: str) -> str:
        until = time.monotonic() + PATIENCE_S
        status = "queued"
        while status in ("queued", "running") and time.monotonic() < until:
            time.sleep(0.2)
            status = self.get(f"/jobs/{job_id}")["status"]
        return status


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_pipelines: TinyPipelines
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "config").mkdir()
    smollm2 = yaml.safe_load((ROOT / "config/models.yaml").read_text())["models"]["smollm2"]
    turbo = add_tiny(folder, tiny_pipelines, "turbo")
    turbo["settings"] |= {"max_pixels": 512 * 512}
    models = {
        "use": {"chat": "llama-ministral", "detect": None, "rank": None, "read": None},
        "models": {
            "llama-ministral": smollm2,
            "stable-diffusion-turbo": turbo,
            "media": {"backend": "media", "role": "media"},
        },
    }
    bot = {"data_dir": "data", "http": {"port": free_port()}}
    (folder / "config/models.yaml").write_text(yaml.safe_dump(models))
    (folder / "config/bot_config.yaml").write_text(yaml.safe_dump(bot))
    # No process that waits for vision models: there are none.
    (folder / "config/vram_config.yaml").write_text(yaml.safe_dump({"warm": {"standby": False}}))
    command = [sys.executable, "-m", "danzar", "serve", "--port", "0", "--config"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, folder / "config"], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            line = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address, (folder / "log").read_text()
            yield Server(folder, address[0], process)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0, (folder / "log").read_text()


def test_the_seeds_lines_do_what_they_say(server):
    submit, status, result, picture, health, models = LINES
    sent = server.type(submit)
    assert sent["status"] == "queued"
    drawn = server.type(picture)
    assert server.ended(sent["job_id"]) == "completed"
    told = server.type(status, sent["job_id"])
    assert (told["status"], told["model"]) == ("completed", "llama-ministral")
    text = server.type(result, sent["job_id"])
    assert (text["type"], text["prompt_tokens"] > 0) == ("llm", True)
    assert text["text"]
    told = server.type(health)
    assert told["status"] == "healthy"
    assert "llama-ministral" in told["loaded_models"]
    types = {model["name"]: model["type"] for model in server.type(models)}
    assert types == {"llama-ministral": "llm", "stable-diffusion-turbo": "diffusion"}
    assert server.ended(drawn["job_id"]) == "completed", server.get(f"/jobs/{drawn['job_id']}")
    made = server.type(result, drawn["job_id"])
    assert made["type"] == "diffusion"
    assert made["image"].startswith("data:image/png;base64,")


def test_commands_of_this_machine_reach_it(server):
    for words in (("queue",), ("gpu", "models"), ("optimizer", "status")):
        run = danzar(server.folder, *words)
        assert run.returncode == 0, run.stderr


def test_a_foreign_name_and_page_are_refused(server):
    for header in ("Host: evil.example", "Origin: http://evil.example"):
        assert "error" in server.get("/models", "-H", header)


def test_it_does_not_listen_to_the_network_without_a_key(server):
    run = danzar(server.folder, "serve", "--host", "0.0.0.0", "--port", "0")
    assert run.returncode == 1
    assert "type `danzar keys add NAME` first" in run.stderr


def test_keys_count_at_once_while_it_runs(server):
    key = danzar(server.folder, "keys", "add", "test").stdout.splitlines()[0]
    bearer = f"Authorization: Bearer {key}"
    assert server.get("/models")["error"]["code"] == "invalid_api_key"
    assert len(server.get("/models", "-H", bearer)) == 2
    danzar(server.folder, "keys", "revoke", "test")
    assert server.get("/models", "-H", bearer)["error"]["code"] == "invalid_api_key"
    assert key not in (server.folder / "log").read_text()
