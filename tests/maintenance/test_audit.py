"""Every operation that changes something is in the audit; a new one fails until it is said how.

Left of each line is what is registered; right the audit's name of it, or why it has none.
"""

import asyncio
import os
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
import typer
import yaml
from typer.testing import CliRunner

from danzar.app import control_routes, make_cogs
from danzar.bot import DanzarBot
from danzar.cli import app as command_line
from danzar.commands import api_keys as keys_command
from danzar.commands import config as config_command
from danzar.config.load import load_config
from danzar.http.api_keys import KeyLimits
from danzar.jobs import control as jobs
from danzar.jobs.contract import JobRequest
from danzar.live.control import ALIVE_PATH, Wish, find_bots, serve_control
from danzar.optimizer import wishes as optimizer
from danzar.resources import wishes as resources
from danzar.services import open_services
from danzar.workers.contract import ChatMessage, Generate

READS = "reads only"
REQUEST = "a request: its own record is in jobs.db, or it ends with its answer"
NO_BOT = "changes nothing that the bot has"

DISCORD = {
    "reset": "chat.reset",
    "see": REQUEST,
    "imagine": REQUEST,
    "animate": REQUEST,
    "gpu game": "changes nothing: a simulated card is filled for show",
    "queue cancel": "queue.cancel",
    "gpu set": "config.set",
    "watch start": "watch.start",
    "watch stop": "watch.stop",
    "stopwatch": "watch.stop",
    "gpu monitor": "gpu.monitor",
    "gpu load": "gpu.load",
    "gpu unload": "gpu.unload",
    "gpu pin": "gpu.pin",
    "gpu unpin": "gpu.unpin",
    "gpu reserve": "gpu.reserve",
    "gpu reserve clear": "gpu.reserve.clear",
    "gpu optimize": "optimizer.optimize",
    "gpu batch": "optimizer.set-batch-size",
    "gpu incidents mute": "incident.mute",
    "gpu incidents unmute": "incident.unmute",
}
DISCORD_READS = {
    "help", "digest", "queue", "watch", "watch status", "incidents", "gpu", "gpu status",
    "gpu vision", "gpu log", "gpu graph", "gpu models", "gpu plan", "gpu why", "gpu history",
    "gpu prefetch", "gpu reserve list", "gpu nodes", "gpu audit", "gpu estimate", "gpu incidents",
    "gpu incidents digest",
}  # fmt: skip

WISHES = {
    Wish: "config.set",
    jobs.ListJobs: READS,
    jobs.ShowJob: READS,
    jobs.SubmitJob: REQUEST,
    jobs.CancelJob: "jobs.cancel",
    resources.Estimate: READS,
    resources.Check: READS,
    resources.Optimize: READS,
    resources.Status: READS,
    resources.Cleanup: "resources.cleanup",
    optimizer.Status: READS,
    optimizer.History: READS,
    optimizer.Optimize: "optimizer.optimize",
    optimizer.SetBatchSize: "optimizer.set-batch-size",
    optimizer.SetMonitoring: "optimizer.stop-monitoring",
    optimizer.Configure: "optimizer.configure",
    optimizer.Benchmark: "optimizer.benchmark",
}

COMMANDS = {
    "run": REQUEST,
    "serve": REQUEST,
    "demo": REQUEST,
    "node": REQUEST,
    "see": REQUEST,
    "simulate": NO_BOT,
    "init": NO_BOT,
    "config import": NO_BOT,
    "config set": "config.set",
    "config reload": "config.set",
    "models pull": "models.pull",
    "optimizer optimize": "optimizer.optimize",
    "optimizer set-batch-size": "optimizer.set-batch-size",
    "optimizer start-monitoring": "optimizer.start-monitoring",
    "optimizer stop-monitoring": "optimizer.stop-monitoring",
    "optimizer enable": "optimizer.enable",
    "optimizer disable": "optimizer.disable",
    "optimizer configure": "optimizer.configure",
    "optimizer import-config": "optimizer.import-config",
    "optimizer benchmark": "optimizer.benchmark",
    "optimizer export-config": NO_BOT,
    "resources cleanup": "resources.cleanup",
    "nodes load": "node.load",
    "nodes unload": "node.unload",
    "jobs submit": REQUEST,
    "jobs cancel": "jobs.cancel",
    "keys add": "keys.add",
    "keys revoke": "keys.revoke",
    "keys init": "keys.init",
    "keys node": "keys.node",
    "keys renew": "keys.renew",
    "keys remove": "keys.remove",
    "keys make": NO_BOT,
    "backup": NO_BOT,
    "support-bundle": NO_BOT,
    "restore": "restore",
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("DANZAR_")]:
        monkeypatch.delenv(name)
    files = {
        "bot_config.yaml": {"data_dir": "data"},
        "vram_config.yaml": {"telemetry": {"mode": "simulated"}},
        "models.yaml": {
            "use": dict.fromkeys(("chat", "detect", "rank", "read")) | {"media": "media"},
            "models": {
                "echo": {"backend": "echo", "role": "chat", "settings": {"word_s": 5}},
                "media": {"backend": "media", "role": "media"},
            },
        },
    }
    folder = tmp_path / "config"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))
    return load_config(folder)


@asynccontextmanager
async def running(config):
    routes = {}
    async with open_services(config) as services:
        routes = control_routes(services)
        data = config.root / "data"
        async with serve_control(services.live, data, routes):
            (address,) = find_bots(data, config.folder)
            headers = {"Authorization": f"Bearer {address.secret}"}
            async with aiohttp.ClientSession(address.url, headers=headers) as session:
                yield services, session, routes


async def post(session, path, wish):
    async with session.post(path, data=msgspec.json.encode(wish)) as answer:
        assert answer.status == 200
        return await answer.read()


@pytest.mark.process
async def test_what_commands_ask_of_a_bot_is_in_the_audit(config):
    async with running(config) as (services, session, routes):
        assert set(routes) == {jobs.PATH, optimizer.PATH, resources.PATH}
        request = JobRequest("echo", Generate((ChatMessage("user", "private words"),)))
        answer = msgspec.json.decode(await post(session, jobs.PATH, jobs.SubmitJob(request)))
        job_id = answer["body"]["job"]["job_id"]
        applied = await post(session, "/v1/config", Wish("vram.placement.min_residence_s", "21"))
        assert msgspec.json.decode(applied)["refused"] is None
        await post(session, jobs.PATH, jobs.CancelJob(job_id))
        await post(session, resources.PATH, resources.Cleanup())
        for wish in (
            optimizer.Optimize(),
            optimizer.SetBatchSize(4),
            optimizer.SetMonitoring(on=False),
            optimizer.Configure({}, "configure"),
        ):
            await post(session, optimizer.PATH, wish)
        for wish in (jobs.ListJobs(), jobs.ShowJob(job_id)):
            await post(session, jobs.PATH, wish)
        async with session.post(ALIVE_PATH) as alive:
            assert alive.status == 200
        lines = await services.store.recent_audit(100)
    told = {line.action for line in lines}
    assert set(WISHES.values()) - told == {READS, REQUEST, "optimizer.benchmark"}
    assert {line.actor for line in lines} <= {"command line", "Danzar"}
    assert "private words" not in " ".join(line.detail for line in lines)


def test_every_wish_of_the_control_channel_is_in_the_list():
    unions = (jobs.AnyWish, resources.AnyWish, optimizer.AnyWish)
    found = {Wish, *(kind for union in unions for kind in union.__args__)}
    assert found == set(WISHES)


@pytest.mark.process
async def test_every_command_in_discord_is_in_the_list(config):
    async with running(config) as (services, _, _):
        bot = DanzarBot(config.bot.discord)
        for cog in make_cogs(bot, services):
            await bot.add_cog(cog)
        found = {command.qualified_name: command for command in bot.walk_commands()}
        for name in list(bot.cogs):
            await bot.remove_cog(name)
    assert set(found) - set(DISCORD) - DISCORD_READS == set()
    operators = {name for name, command in found.items() if is_for_operators(command)}
    assert operators - {"gpu audit", "gpu reserve", "gpu game"} <= set(DISCORD) | {"gpu log"}


def is_for_operators(command) -> bool:
    return any("operators_only" in check.__qualname__ for check in command.checks)


def test_every_command_of_the_command_line_is_in_the_list():
    changing = {name for name in names_of(command_line) if name not in READING_COMMANDS}
    assert changing == set(COMMANDS)


READING_COMMANDS = {
    "doctor", "estimate", "plan", "replay", "queue", "audit", "logs", "health", "nodes",
    "gpu status", "gpu vision", "gpu log", "gpu plan", "gpu why", "gpu models", "gpu history",
    "gpu nodes", "gpu prefetch", "models list", "models verify", "config check", "config path",
    "optimizer status",
    "optimizer monitor", "optimizer history", "resources estimate", "resources check",
    "resources optimize", "resources status", "resources profiles", "nodes plan", "nodes status",
    "jobs list", "jobs show", "keys show", "keys list", "keys check",
}  # fmt: skip


def names_of(application: typer.Typer) -> set[str]:
    def walk(group, prefix):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                if command.invoke_without_command:
                    yield f"{prefix}{name}"
                yield from walk(command, f"{prefix}{name} ")
            else:
                yield f"{prefix}{name}"

    return set(walk(typer.main.get_command(application), ""))


async def test_commands_without_a_bot_write_the_audit_themselves(config):
    await config_command.change(config.folder, "bot.chat.top_p", "0.8", later=True)
    await keys_command.add_key(config, "phone", KeyLimits())
    _, text = await keys_command.add_key(config, "laptop", KeyLimits())
    await keys_command.revoke_key(config, "phone")
    lines = await asyncio.to_thread(audit_of, config)
    assert [line["action"] for line in lines] == [
        "config.set",
        "keys.add",
        "keys.add",
        "keys.revoke",
    ]
    assert text not in str(lines)


def test_who_may_join_the_queue_is_in_the_audit_of_the_bot_beside_the_keys(config, tmp_path):
    def keys(*arguments):
        result = CliRunner().invoke(command_line, ["keys", *map(str, arguments)])
        assert result.exit_code == 0, result.output

    beside = ("--config", config.folder)
    keys("init", "--host", "192.168.1.10", "--node", "pc2", *beside)
    keys("node", "pc3", "--operator", *beside)
    keys("renew", "pc2", *beside)
    keys("remove", "pc3", *beside)
    keys("init", "--host", "192.168.1.10", "--out", tmp_path / "elsewhere", *beside)
    assert [(line["action"], line["detail"]) for line in audit_of(config)] == [
        ("keys.init", "main, pc2"),
        ("keys.node", "pc3, may command nodes"),
        ("keys.renew", "pc2"),
        ("keys.remove", "pc3"),
    ]


def audit_of(config):
    from danzar.commands.audit import read_audit

    return read_audit(config, 100)["lines"]


async def test_no_secret_gets_into_the_audit(tmp_path, monkeypatch):
    from danzar.store import Store

    monkeypatch.setenv("DISCORD_TOKEN", "the-token-of-this-bot")
    async with Store.open(tmp_path / "a.db", keep_messages=1) as store:
        await store.audit("ann (1)", "watch.start", "rtsp://cam:pa55word@host/1?token=abcdef")
        await store.audit("ann (1)", "config.set", "a: the-token-of-this-bot " + "x" * 5000)
        long, source = await store.recent_audit(2)
    assert source.detail == "rtsp://***@host/1?token=***"
    assert "the-token" not in long.detail
    assert len(long.detail) < 1100
