"""``danzar node`` and ``danzar nodes``: options, refusals, what is printed."""

import errno
import io
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from danzar.commands import node as node_command
from danzar.commands import nodes as command
from danzar.commands.node_settings import with_budgets, with_name, with_queue
from danzar.config.bot import BotConfig
from danzar.config.node import NodeSettings, node_name
from danzar.config.settings import Config
from danzar.errors import BadInput, DanzarError
from danzar.keys.errors import QueueRefused
from danzar.keys.home import Wish, init_home
from danzar.nodes.choice import Fit, ranked
from danzar.nodes.shared_queue import is_away, name_node
from danzar.nodes.standing import Standing, offers
from danzar.nodes.wire import Action, Answer, LoadedModel
from danzar.units import GIB
from tests.nodes.makers import member, model

CONFIG = Config(root=Path.cwd())


def printed(show) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200, markup=False, highlight=False))
    return out.getvalue()


def jobs(**changes) -> Config:
    bot = BotConfig.model_validate({"jobs": changes})
    return CONFIG.model_copy(update={"bot": bot})


def test_a_budget_counts_for_every_gpu_or_for_the_one_that_is_named() -> None:
    found = with_budgets(CONFIG, ["10 GiB", "cuda:1=6GiB"], ("cuda:0", "cuda:1"))

    limits = {name: settings.limit for name, settings in found.vram.devices.items()}
    assert limits == {"cuda:0": 10 * GIB, "cuda:1": 6 * GIB}


@pytest.mark.parametrize("text", ["", "much", "gpu1=6GiB", "cuda:0=", "cuda:0=-1"])
def test_a_budget_that_is_none_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(BadInput, match="is no budget; write 10GiB, or cuda:1=6GiB"):
        with_budgets(CONFIG, [text], ("cuda:0",))


def test_a_node_is_named_by_the_option_before_the_settings() -> None:
    bot = BotConfig(node=NodeSettings(name="home"))
    named = CONFIG.model_copy(update={"bot": bot})

    assert node_name(with_name(named, "pc2").bot.node) == "pc2"
    assert node_name(with_name(named, None).bot.node) == "home"
    with pytest.raises(BadInput, match="'PC 2' is no name for a node"):
        with_name(named, "PC 2")


def test_a_node_with_keys_is_called_as_they_were_made_for(tmp_path) -> None:
    init_home(tmp_path, Wish(("127.0.0.1",), ("main", "pc2")), datetime.now(UTC))
    keys = str(tmp_path / "nodes" / "pc2")

    assert node_name(name_node(jobs(keys=keys)).bot.node) == "pc2"
    assert name_node(CONFIG) is CONFIG
    with pytest.raises(BadInput, match=r"called pc3, but its keys in .* were made for pc2"):
        name_node(with_name(jobs(keys=keys), "pc3"))


def test_a_node_without_a_name_is_called_as_its_host(monkeypatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Gaming-PC.Home_Net")
    assert node_name(NodeSettings()) == "gaming-pc-home_net"
    monkeypatch.setattr("socket.gethostname", lambda: "遊戯")
    assert node_name(NodeSettings()) == "danzar"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CONFIG, r"danzar node --queue rediss://HOST:PORT --keys DIR"),
        (jobs(enabled=False), r"jobs\.enabled is false"),
        (jobs(url="redis://192.168.1.10:6379/0"), r"redis:// is not encrypted"),
    ],
)
def test_a_node_that_can_share_nothing_is_told_why(config: Config, said: str) -> None:
    with pytest.raises(DanzarError, match=said):
        node_command.settings(config, None, [])


async def test_nodes_of_a_machine_that_works_alone_are_none() -> None:
    with pytest.raises(BadInput, match=r"works alone: jobs\.url is memory://"):
        await command.members(CONFIG)


async def test_a_command_without_an_operators_key_is_refused_here() -> None:
    config = with_queue(CONFIG, "redis://127.0.0.1:1/0", None)

    with pytest.raises(BadInput, match="--keys DIR"):
        await command.order(config, "pc2", Action.LOAD_MODEL, "chat", 1.0)


def test_nodes_are_printed_and_told_as_json() -> None:
    found = (
        member("pc1", model("chat", Fit.LOADED)),
        member("pc2", standing=Standing.LOST, since_s=75.0),
    )

    text = printed(lambda console: command.print_nodes(found, console))
    told = command.nodes_json(found)["nodes"]

    assert "pc1: alive for 45 s" in text
    assert "  models: chat (ready on cuda:0, 1.0GB)" in text
    assert "pc2: lost for 1 min 15 s" in text
    assert [(node["name"], node["standing"]) for node in told] == [
        ("pc1", "alive"),
        ("pc2", "lost"),
    ]
    assert told[0]["devices"][0]["label"] == "cuda:0"
    assert told[0]["models"][0]["fit"] == "loaded"
    assert "run" not in told[0]


def test_no_nodes_are_told_in_words() -> None:
    assert "No node is known" in printed(lambda console: command.print_nodes((), console))


def test_a_plan_is_printed_best_first_with_what_each_waits_for() -> None:
    found = (
        member("pc1", model("chat", Fit.FREE, 24)),
        member("pc2", model("chat", Fit.FREE, 8)),
        member("pc3", model("chat", Fit.NEVER, why="needs 40.0GB")),
    )
    planned = command.Planned("chat", ranked("chat", offers("chat", found)), found, 2.0)

    lines = printed(lambda console: command.print_planned(planned, console)).splitlines()

    assert lines[0].startswith("1. pc2 takes jobs at once: has room for it on cuda:0")
    assert lines[1].startswith("2. pc1 takes jobs that waited 2 s: has room for it on cuda:0")
    assert lines[2] == "3. pc3 takes no jobs: can't place it; needs 40.0GB"
    assert [row["node"] for row in command.planned_json(planned)["order"]] == ["pc2", "pc1", "pc3"]


def test_an_answer_is_printed_with_what_is_loaded_afterwards() -> None:
    answer = Answer(True, "chat is loaded", (LoadedModel("chat", "ready", "cuda:0", GIB, 0),))

    text = printed(lambda console: command.print_answer("pc2", answer, console))

    assert text == "pc2: chat is loaded\n  chat: ready on cuda:0\n"
    assert command.answer_json("pc2", answer)["loaded"][0]["size_bytes"] == GIB


def refused(cause: BaseException) -> QueueRefused:
    error = QueueRefused("the queue: can't be used")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "away"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True),
        (OSError(errno.EHOSTUNREACH, "no route"), True),
        (TimeoutError(), True),
        (ssl.SSLCertVerificationError("wrong certificate"), False),
        (ValueError("wrong password"), False),
    ],
)
def test_a_server_that_is_off_is_waited_for_and_one_that_refuses_is_not(cause, away) -> None:
    assert is_away(refused(cause)) is away
