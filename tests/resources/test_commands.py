"""``danzar resources``: against a described card, and over the control channel of a running bot."""

import io
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web
from rich.console import Console

from danzar.commands import resources as command
from danzar.commands import resources_print
from danzar.commands.resources import Described
from danzar.errors import BadInput
from danzar.live.asking import Address
from danzar.resources.manager import Parts, ResourceManager
from danzar.resources.profiles import shipped_profiles
from danzar.resources.serve import resource_routes
from danzar.resources.text import preflight_lines
from danzar.resources.wishes import PATH, Check, Cleanup, Estimate, Optimize, Status
from danzar.units import GIB
from tests.gpu_memory.cards import cpu, gpu
from tests.resources.rig import SEED_PARAMS, Machine, measured, room

SHIPPED = Path(__file__).parents[2] / "config"
PAGE = (SHIPPED.parent / "docs/resources.md").read_text(encoding="utf-8")


def shown(show, answer):
    screen = io.StringIO()
    show(answer, Console(file=screen, width=160, markup=False, highlight=False))
    return screen.getvalue()


def keys_in(value, given):
    """All keys, without those inside of ``given``, which a person or a machine chose."""
    if isinstance(value, list):
        return {key for inner in value for key in keys_in(inner, given)}
    if not isinstance(value, dict):
        return set()
    inside = (inner for key, inner in value.items() if key not in given)
    return set(value) | {key for inner in inside for key in keys_in(inner, given)}


class TestDescribed:
    async def test_a_card_is_known_by_its_name(self):
        answer = await command.ask(SHIPPED, Check(6000), Described("RTX 4070"))
        assert answer["available"]
        assert answer["message"].startswith("cuda:0 (simulated) has room for 11.8 GiB")

    async def test_its_room_can_be_less(self):
        answer = await command.ask(SHIPPED, Check(6000), Described("RTX 4070", "4 GiB"))
        assert not answer["available"]
        assert "room for 4.0 GiB" in answer["message"]

    async def test_an_unknown_card_is_named_with_the_nearest_one(self):
        with pytest.raises(BadInput, match="no card 'RTX 4091' is known; did you mean RTX 4090"):
            await command.ask(SHIPPED, Check(1), Described("RTX 4091"))

    @pytest.mark.parametrize("described", [Described("A100", "lots"), Described("A100", ram="?")])
    async def test_a_size_that_is_none_is_told_with_its_option(self, described):
        with pytest.raises(BadInput, match="--r"):
            await command.ask(SHIPPED, Check(1), described)

    async def test_the_seeds_example_is_shown_with_reasons(self):
        wish = Optimize(SEED_PARAMS)
        answer = await command.ask(SHIPPED, wish, Described("RTX 4090", ram="64 GiB"))
        text = shown(resources_print.print_preflight, answer)
        assert "It fits on cuda:0 (simulated) with 21.7 GiB of VRAM, with 3 changes" in text
        assert "resolution  1920x1072  1280x720  slight" in text
        assert "offload: without it 58.9 GiB are needed" in text

    async def test_what_is_impossible_says_what_is_missing(self):
        described = Described("RTX 4070", ram="32 GiB")
        answer = await command.ask(SHIPPED, Optimize(SEED_PARAMS), described)
        assert answer["verdict"] == "impossible"
        assert "12.7 GiB of RAM are missing" in shown(resources_print.print_preflight, answer)

    async def test_an_estimate_shows_its_phases_and_what_is_assumed(self):
        wish = Estimate({"model_type": "ti2v", "resolution": "720p"})
        answer = await command.ask(SHIPPED, wish, Described("RTX 4090"))
        text = shown(resources_print.print_requirement, answer)
        assert "ti2v-5B 1280x704, 121 frames, 50 steps" in text
        assert "denoising" in text
        assert "Assumed: 512.0 MiB for the CUDA context" in text

    def test_all_profiles_are_shown_with_their_sources(self):
        text = shown(resources_print.print_profiles, shipped_profiles())
        assert "t2v-A14B" in text
        assert "assumption" in text


async def audit(who, action, detail):
    """Nobody reads it here."""


class Bot:
    """A resource manager behind a real socket, as in a running bot."""

    def __init__(self, manager):
        app = web.Application()
        for path, handler in resource_routes(manager, audit).items():
            app.router.add_post(path, handler)
        self._runner = web.AppRunner(app)

    async def __aenter__(self):
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return Address(f"http://127.0.0.1:{self._runner.addresses[0][1]}", "secret", "")

    async def __aexit__(self, *_):
        await self._runner.cleanup()


@pytest.fixture
def manager(tmp_path):
    machine = Machine((room("cuda:0", 11.0),), measured=measured(gpu(0, 11.5), cpu(30.0)))
    return ResourceManager(Parts(machine, tmp_path))


class TestRunningBot:
    async def test_it_answers_every_question(self, manager):
        async with Bot(manager) as bot:
            estimate = await command._ask_bot(bot, Estimate({"model_type": "sdxl"}))
            check = await command._ask_bot(bot, Check(6000))
            optimize = await command._ask_bot(bot, Optimize({"model_type": "sdxl"}))
            status = await command._ask_bot(bot, Status())
            cleanup = await command._ask_bot(bot, Cleanup(aggressive=True))
        assert estimate["vram_mb"] > 8000
        assert check["available"]
        assert optimize["verdict"] == "ready"
        assert "cuda:0" in shown(resources_print.print_status, status)
        assert status["now"]["cards"][0]["free_bytes"] == round(11.5 * GIB)
        assert cleanup["aggressive"]
        assert "bot" in shown(resources_print.print_cleanup, cleanup)

    @pytest.mark.parametrize(
        "wish",
        [
            Estimate({"model_type": "sdxl"}),
            Check(6000),
            Optimize({"model_type": "sdxl", "batch": 4}),
            Status(),
            Cleanup(),
        ],
        ids=lambda wish: type(wish).__name__,
    )
    async def test_every_key_of_an_answer_is_in_the_documentation(self, manager, wish):
        async with Bot(manager) as bot:
            answer = await command._ask_bot(bot, wish)
        given = {"params", "shortfalls", "saved", "free_bytes", "freed_bytes"}
        for key in keys_in(answer, given):
            assert f"`{key}`" in PAGE, key

    async def test_what_it_refuses_is_refused_here_with_its_words(self, manager):
        async with Bot(manager) as bot:
            with pytest.raises(BadInput, match="did you mean sdxl"):
                await command._ask_bot(bot, Estimate({"model_type": "sdxxl"}))
            with pytest.raises(BadInput, match="unknown parameter"):
                await command._ask_bot(bot, Optimize({"model_type": "sdxl", "stepz": 3}))

    async def test_one_that_has_died_is_no_bot(self, manager):
        async with Bot(manager) as bot:
            address = bot
        assert await command._ask_bot(address, Status()) is None

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"type": "explode"}', b'{"type":"check"}', b"\xff"]
    )
    async def test_nonsense_is_a_bad_request(self, manager, body):
        async with (
            Bot(manager) as bot,
            aiohttp.ClientSession() as session,
            session.post(bot.url + PATH, data=body) as response,
        ):
            assert response.status == 400

    async def test_the_answer_is_plain_json(self, manager):
        async with Bot(manager) as bot:
            answer = await command._ask_bot(bot, Optimize({"model_type": "sdxl"}))
        assert msgspec.json.decode(msgspec.json.encode(answer)) == answer


async def test_a_channel_is_told_in_a_few_lines(manager):
    found = await manager.preflight({"model_type": "sdxl", "batch": 4})
    lines = preflight_lines(found)
    assert lines[0].startswith("sdxl 1024x1024, 50 steps: ")
    assert lines[1].startswith("It fits on cuda:0 with ")
    assert all(line.startswith("- ") for line in lines[2:])
