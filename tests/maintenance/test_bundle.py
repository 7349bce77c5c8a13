"""What is sent to strangers has no secret, no conversation and no name in it."""

import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from danzar.commands import support
from danzar.logs.files import RotatedFile
from danzar.logs.line import LogLine
from danzar.maintenance.bundle import MAX_PART_CHARS, write_bundle
from danzar.maintenance.errors import BackupFailed
from danzar.maintenance.scrub import Private, scrub
from danzar.store_schema import MIGRATIONS

TOKEN = "MTE5ODY5NTg3NDIwNDE2MDA." + "GqXyZa." + "abcdefghijklmnopqrstuvwxyz0123456789ab"
PLANTED = {
    "token by form": TOKEN,
    "token by value": "plain-token-of-a-demo",
    "redis password": "r3dis-Passw0rd",
    "API key": "danzar_0123abcd_" + "k" * 43,
    "webhook": "Wh00kS3cretPartOfTheAddress",
    "header": "He4derS3cret",
    "user": "adalovelace",
    "host": "ada-tower",
    "person": "grace.h",
    "snowflake": "112233445566778899",
    "conversation": "what I told it in confidence",
    "foreign program": "secret-game.exe",
}


def log_lines():
    texts = [
        f"login with {TOKEN} and {PLANTED['token by value']}",
        f"rediss://danzar:{PLANTED['redis password']}@queue/0 is away",
        f"refused key {PLANTED['API key']}",
        f"https://discord.com/api/webhooks/99/{PLANTED['webhook']}",
        f"Authorization: Bearer {PLANTED['header']}",
        f"config changed by {PLANTED['person']} ({PLANTED['snowflake']}): chat.top_p",
        f"message {PLANTED['snowflake']} on {PLANTED['host']}",
        "file /home/adalovelace/danzar/x.py, C:\\\\Users\\\\x",
    ]
    for text in texts:
        yield LogLine(
            at="2026-01-31T18:00:00+00:00", level="info", logger="d", text=text, error=text
        )


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A home with secrets wherever a person could have put them."""
    home = tmp_path / "home" / PLANTED["user"]
    data, config = home / "data", home / "config"
    config.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("LOGNAME", PLANTED["user"])
    monkeypatch.setenv("DISCORD_TOKEN", PLANTED["token by value"])
    monkeypatch.setenv("DANZAR_BOT__DATA_DIR", str(data))
    monkeypatch.setenv("DANZAR_BOT__NODE__NAME", "pc1")
    monkeypatch.setattr(support.socket, "gethostname", lambda: PLANTED["host"])
    (config / "bot_config.yaml").write_text(
        f"# my webhook: https://discord.com/api/webhooks/1/{PLANTED['webhook']}\n"
        f"# password: {PLANTED['redis password']}\n"
        f"jobs: {{url: 'memory://'}}\ndata_dir: {data}\n"
    )
    (config / "models.yaml").write_text("models: {}\n")
    encoder = msgspec.json.Encoder()
    lines = [encoder.encode(line) + b"\n" for line in log_lines()]
    RotatedFile(data / "logs", max_bytes=10**6, files=2).write(lines)
    with closing(sqlite3.connect(data / "danzar.db")) as connection:
        for step in MIGRATIONS:
            for statement in step:
                connection.execute(statement)
        connection.execute(
            "INSERT INTO messages VALUES (1, 1, 'user', 'g', ?, '', 0, 1.0)",
            (PLANTED["conversation"],),
        )
        connection.commit()
    foreign = {"devices": [{"processes": [{"name": PLANTED["foreign program"]}]}]}
    decision = {
        "version": 1,
        "at": 1.0,
        "kind": "impossible",
        "inputs": {"demand": {"model": "chat"}, **foreign},
        "plan": {"shortfall_bytes": 5},
    }
    (data / "decisions.jsonl").write_text(json.dumps(decision) + "\nno decision\n")
    (data / f"{PLANTED['conversation']}.txt").write_text("mine")
    monkeypatch.setattr(support, "examine", lambda folder: [])
    return config


@pytest.mark.process
def test_nothing_that_is_private_is_anywhere_in_the_bundle(machine, tmp_path):
    file, parts = support.collect(machine, tmp_path / "bundle.zip")
    with zipfile.ZipFile(file) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    whole = "\n".join(f"{name}\n{text}" for name, text in texts.items())
    assert {what for what, value in PLANTED.items() if value.lower() in whole.lower()} == set()
    assert str(Path.home()) not in whole

    errors = {part.name: part.error for part in parts if part.error}
    assert set(errors) == {
        "journal.json",
        "config/vision_config.yaml",
        "config/vram_config.yaml",
        "config/resource_profiles.yaml",
    }
    assert set(texts) == {part.name for part in parts} | {"CONTENTS.txt"}
    # And yet it is of use.
    assert len(texts["log.jsonl"].splitlines()) == 8
    assert "<person>: chat.top_p" in texts["log.jsonl"]
    (decision,) = map(json.loads, texts["decisions.jsonl"].splitlines())
    assert decision["plan"] == {"shortfall_bytes": 5}
    assert "jobs: {url: 'memory://'}" in texts["config/bot_config.yaml"]
    assert "pydantic==" in texts["packages.txt"]
    assert json.loads(texts["devices.json"])["devices"]
    assert all(name in texts["CONTENTS.txt"] for name in texts if name != "CONTENTS.txt")


def test_a_part_that_fails_or_is_huge_stops_nothing(tmp_path):
    def broken():
        raise RuntimeError("password: hunter22")

    parts = {"a.txt": ("a", broken), "b.txt": ("b", lambda: "x" * 3_000_000)}
    private = Private((), "/home/me", "me", "host")
    first, second = write_bundle(tmp_path / "b.zip", parts, private)
    assert first.error == "not there: RuntimeError: password: ***"
    assert second.size_bytes < MAX_PART_CHARS + 100
    with pytest.raises(BackupFailed, match="can't be written"):
        write_bundle(tmp_path / "b.zip", parts, private)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (r"C:\Users\ada\x and C:/Users/ada/y", r"~\x and ~/y"),
        (r'"C:\\Users\\ada\\x"', r'"~\\x"'),
        (r"C:\Users\adam\x", r"C:\Users\adam\x"),
        ("ada said ADA-PC and adapter", "<user> said <host> and adapter"),
        ("ann (123456789012345678) in 123456789012345678", "<person> in <id>"),
    ],
)
def test_names_and_paths_become_words(text, clean):
    assert scrub(text, Private((), r"C:\Users\ada", "ada", "ada-pc")) == clean
