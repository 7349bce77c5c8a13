"""``danzar gpu models|plan|why|history`` against a status API that is really served."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from danzar.config.bot import HttpSettings
from danzar.http.status_json import BotFacts, StatusFacts
from danzar.http.status_server import serve_status
from tests.cli.test_commands import failed_with_one_line, is_documented
from tests.http.status_rig import parts_of
from tests.http.test_status import PLANNER
from tests.local.panel_status import DECISIONS, VIEWS


@asynccontextmanager
async def a_bot():
    """Yields the port of the status API."""
    facts = StatusFacts(BotFacts("Danzar", True, 0.04), (), VIEWS, decisions=DECISIONS)
    async with serve_status(parts_of(facts, PLANNER), HttpSettings(port=0)) as url:
        yield url.rpartition(":")[2]


async def asked(danzar, *arguments):
    async with a_bot() as port:
        return await asyncio.to_thread(danzar, "gpu", *arguments, DANZAR_BOT__HTTP__PORT=port)


async def test_models_are_a_table_with_the_reason_of_each_worse_place(danzar):
    ended = await asked(danzar, "models")
    assert ended.status == 0
    line = next(x for x in ended.out.splitlines() if x.startswith("qwen2.5-7b-instruct "))
    for text in ("ready", "cuda:0", "4.8GB", "5.0GB", "9.4 s", "35%", "pinned, protected"):
        assert text in line
    assert "6.2GB are needed, cuda:0 has room for 5.4GB" in ended.out
    assert "Simulated: cuda:0, cuda:1" in ended.out


async def test_plan_and_why_show_what_was_weighed(danzar):
    ended = await asked(danzar, "plan", "yolo")
    assert ended.out.startswith("yolo would run on cuda:0 (simulated)\n")
    assert "  -> cuda:0: 1.0GB needed, room for" in ended.out
    ended = await asked(danzar, "why", "chat")
    assert "decided 60 s ago" in ended.out


async def test_history_is_a_line_for_each_step(danzar):
    ended = await asked(danzar, "history")
    assert len(ended.out.splitlines()) == len(DECISIONS)
    assert "unload sdxl on cuda:0: room for qwen2.5-7b-instruct" in ended.out


@pytest.mark.parametrize(
    "arguments", [("models",), ("history",), ("plan", "yolo"), ("why", "chat")], ids="-".join
)
async def test_json_is_the_documented_contract(danzar, arguments):
    ended = await asked(danzar, *arguments, "--json")
    answer = json.loads(ended.out)
    assert answer["version"] == 1
    is_documented(answer)


async def test_an_unknown_model_fails_with_the_nearest_name(danzar):
    ended = await asked(danzar, "why", "chta")
    assert "did you mean chat?" in failed_with_one_line(ended)


def test_without_a_bot_it_says_how_to_start_one(danzar, unused_tcp_port_factory):
    ended = danzar("gpu", "models", DANZAR_BOT__HTTP__PORT=str(unused_tcp_port_factory()))
    assert "no bot answers at http://127.0.0.1:" in failed_with_one_line(ended)
    assert "danzar run" in ended.err


def test_where_the_api_is_off_it_says_so(danzar):
    ended = danzar("gpu", "models", DANZAR_BOT__HTTP__PORT="0")
    assert "http.port is 0" in failed_with_one_line(ended)


def test_a_missing_model_is_a_wrong_call(danzar):
    assert danzar("gpu", "plan").status == 2


async def test_the_queue_is_a_row_for_each_request(danzar):
    async with a_bot() as port:
        ended = await asyncio.to_thread(danzar, "queue", DANZAR_BOT__HTTP__PORT=port)
        told = await asyncio.to_thread(danzar, "queue", "--json", DANZAR_BOT__HTTP__PORT=port)
    assert "30 s (late)" in ended.out
    assert "4711" not in ended.out + told.out
    answer = json.loads(told.out)
    assert [len(row["waiting"]) for row in answer["queues"]] == [3, 0]
    is_documented(answer)
