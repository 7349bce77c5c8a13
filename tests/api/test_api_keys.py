import json
import sqlite3

import pytest
from typer.testing import CliRunner

from danzar.cli import app
from danzar.commands.api_keys_cli import add_commands
from danzar.config.secrets import redact
from danzar.errors import BadInput, StoreFailed
from danzar.http.api_keys import ApiKeys, KeyLimits
from tests.api.calls import ask, submit
from tests.api.rig import serve_rig

OWN = KeyLimits()


@pytest.fixture
async def keys(tmp_path):
    async with ApiKeys.open(tmp_path / "api_keys.db") as opened:
        yield opened


async def test_a_key_is_found_by_its_text_alone(keys):
    key, text = await keys.add("home", KeyLimits(60, 2, 10))
    assert await keys.find(text) == key
    assert key.limits == KeyLimits(60, 2, 10)
    for wrong in (
        "",
        text[:-1],
        text[:-1] + "A",
        text.upper(),
        f"{text} ",
        "danzar_00000000_" + "a" * 43,
    ):
        if wrong != text:
            assert await keys.find(wrong) is None


async def test_the_file_holds_no_key(keys, tmp_path):
    _, text = await keys.add("home", OWN)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert text.rsplit("_", 1)[1].encode() not in stored


async def test_a_revoked_key_opens_nothing_and_its_name_stays_taken(keys):
    _, text = await keys.add("home", OWN)
    revoked = await keys.revoke("home")
    assert not revoked.is_active
    assert await keys.find(text) is None
    assert (await keys.revoke("home")).revoked_at == revoked.revoked_at
    with pytest.raises(BadInput, match="take another name"):
        await keys.add("home", OWN)


async def test_a_key_that_never_was_cannot_be_revoked(keys):
    with pytest.raises(BadInput, match="no key named 'x'"):
        await keys.revoke("x")


@pytest.mark.parametrize("name", ["", "a b", "../x", "ä", "x" * 65, "-x"])
async def test_a_name_is_a_plain_word(keys, name):
    with pytest.raises(BadInput, match="no name for a key"):
        await keys.add(name, OWN)


async def test_a_damaged_file_lets_nobody_in(tmp_path):
    path = tmp_path / "api_keys.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreFailed, match="damaged"):
        async with ApiKeys.open(path):
            pass
    assert path.read_bytes().startswith(b"no database")


async def test_a_newer_file_is_left_alone(tmp_path):
    path = tmp_path / "api_keys.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreFailed, match="newer"):
        async with ApiKeys.open(path):
            pass


def test_a_key_is_left_out_of_logs_and_messages():
    text = "danzar_0123abcd_" + "Ab-_" * 10 + "xyz"
    assert redact(f"sent {text}.") == "sent danzar_0123abcd_***."


async def test_from_the_first_key_on_everybody_needs_one(rig):
    assert (await ask(rig.url, "GET", "/models")).status == 200
    _, text = await rig.keys.add("home", OWN)
    refused = await ask(rig.url, "GET", "/models")
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert (await ask(rig.url, "GET", "/models", text)).status == 200
    await rig.keys.revoke("home")
    assert (await ask(rig.url, "GET", "/models", text)).status == 401
    assert (await ask(rig.url, "GET", "/models")).status == 401


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_what_came_through_a_proxy_needs_a_key_always(rig, name):
    answer = await ask(rig.url, "GET", "/models", headers={name: "203.0.113.7"})
    assert answer.status == 401


async def test_a_job_is_its_keys_alone(rig):
    (_, first), (_, second) = await rig.keys.add("one", OWN), await rig.keys.add("two", OWN)
    job_id = await submit(rig.url, first)
    for method, path in (
        ("GET", f"/jobs/{job_id}"),
        ("GET", f"/jobs/{job_id}/result"),
        ("GET", f"/jobs/{job_id}/result/0"),
        ("GET", f"/jobs/{job_id}/events"),
        ("DELETE", f"/jobs/{job_id}"),
    ):
        other, own = (
            await ask(rig.url, method, path, second),
            await ask(rig.url, method, path, first),
        )
        assert (other.status, own.status) == (404, 200), path
        assert other.error["code"] == "job_not_found"


async def test_one_among_thousands_of_keys_is_found(tmp_path):
    async with serve_rig(tmp_path) as rig:
        async with rig.keys._database.transaction() as connection:
            rows = [(f"{n:08x}", f"k{n}", b"x", float(n)) for n in range(5000)]
            await connection.executemany(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, NULL, NULL, NULL, NULL)", rows
            )
        _, text = await rig.keys.add("mine", OWN)
        assert (await ask(rig.url, "GET", "/models", text)).status == 200


@pytest.fixture
def config(tmp_path, monkeypatch):
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "bot_config.yaml").write_text("data_dir: data\n")
    monkeypatch.setenv("DANZAR_CONFIG", str(folder))
    return folder


def run(*words: str):
    return CliRunner().invoke(app, ["keys", *words], catch_exceptions=True)


def test_keys_are_made_listed_and_revoked_on_the_command_line(config):
    assert "There is no key" in run("list").stdout
    added = run("add", "laptop", "--requests-per-minute", "60", "--jobs", "5")
    assert added.exit_code == 0, added.output
    text = added.stdout.splitlines()[0]
    assert text.startswith("danzar_")
    listed = run("list")
    assert "laptop" in listed.stdout
    assert "60" in listed.stdout
    assert text.rsplit("_", 1)[1] not in listed.stdout
    assert run("revoke", "laptop").stdout == "laptop opens nothing any more.\n"
    (key,) = json.loads(run("list", "--json").stdout)["keys"]
    assert (key["name"], key["jobs"], key["concurrent"]) == ("laptop", 5, None)
    assert key["revoked_at"] is not None


def test_a_taken_name_is_told(config):
    run("add", "laptop")
    again = run("add", "laptop")
    assert isinstance(again.exception, BadInput)
    assert callable(add_commands)
