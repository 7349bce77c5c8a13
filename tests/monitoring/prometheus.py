"""A real Prometheus on loopback, that scrapes one Danzar every other second."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

import yaml

from tests.monitoring.files import PROMETHEUS, read_yaml, tool

PATIENCE_S = 180
_INTERVAL = "2s"


class Prometheus:
    """Its HTTP API, and what it wrote on standard error."""

    def __init__(self, url, log):
        self._url = url
        self._log = log

    def log(self):
        return self._log.read_text(encoding="utf-8")

    def get(self, path, **asked):
        """The answer's data; an error is an ``AssertionError`` with its reason."""
        query = urllib.parse.urlencode(asked, doseq=True)
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=30) as got:
                body = json.load(got)
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{path} {asked}: {exc.read().decode()}") from exc
        assert not body.get("warnings"), (asked, body["warnings"])
        return body["data"]

    def now(self, expr):
        """The result of an instant query: one row for each series."""
        return self.get("query", query=expr)["result"]

    def past(self, expr, seconds, step_s=2):
        """The result of a query over the past seconds, as a chart asks it."""
        end_s = time.time()
        asked = {"start": end_s - seconds, "end": end_s, "step": step_s}
        return self.get("query_range", query=expr, **asked)["result"]

    def wait_for(self, expr, patience_s=PATIENCE_S):
        """Wait until a query has a result, and return it."""
        until_s = time.monotonic() + patience_s
        while not (found := self.now(expr)):
            assert time.monotonic() < until_s, f"never came: {expr}"
            time.sleep(0.5)
        return found

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as got:
                return got.status == 200
        except OSError:
            return False


@contextmanager
def running_prometheus(folder, target):
    """Prometheus with the rules and the job that are deployed, and its data in this folder."""
    port, log = free_port(), folder / "prometheus.log"
    command = [
        tool("prometheus"),
        f"--config.file={settings(folder, target)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
    found = Prometheus(f"http://127.0.0.1:{port}", log)
    try:
        until_s = time.monotonic() + PATIENCE_S
        while not found.is_ready():
            assert process.poll() is None, found.log()
            assert time.monotonic() < until_s, found.log()
            time.sleep(0.2)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def settings(folder, target):
    """The deployed settings, with another target and quicker."""
    shutil.copy(PROMETHEUS / "alerts.yml", folder)
    deployed = read_yaml("prometheus.yml")
    deployed["global"] |= {
        "scrape_interval": _INTERVAL,
        "scrape_timeout": _INTERVAL,
        "evaluation_interval": _INTERVAL,
    }
    deployed["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(deployed), encoding="utf-8")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
