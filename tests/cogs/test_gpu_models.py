"""What people see and change about models, in a simulated Discord over the real scheduler."""

import pytest

from danzar.core.instance import InstanceState
from danzar.units import GIB
from danzar.workers.chart import DrawChart, DrawnChart
from tests.cogs.gpu_rig import gpu_rig

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def state(rig, name):
    return rig.models.scheduler.instances[name].state


async def ask(rig, command, member=None):
    await (member or rig.operator).send(rig.general, command)
    return rig.last


async def press(rig, label, member=None):
    return await (member or rig.operator).click(rig.general.last_message, label=label)


# --- looking ---------------------------------------------------------------------------------


async def test_models_says_where_each_is_and_what_it_holds():
    async with gpu_rig() as rig:
        await rig.models.load("chat")
        embed = await ask(rig, "!gpu models", rig.person)
    assert embed.title == "🧠 Models"
    first, *rest = embed.description.split("\n\n")
    assert first.startswith("🟢 **chat** (chat) ready on cuda:0 (simulated)")
    assert "📦 6.0GB on cuda:0, as estimated · as configured" in first
    assert "reload 2.0 s" in first
    assert any(block.startswith("⚪ **yolo** (vision) not loaded") for block in rest)


async def test_plan_shows_what_would_happen_and_touches_nothing():
    async with gpu_rig() as rig:
        embed = await ask(rig, "!gpu plan painter", rig.person)
        assert state(rig, "painter") is InstanceState.COLD
    assert embed.title == "🧮 painter would run on cuda:0 (simulated)"
    assert "a dry run: nothing was touched" in embed.description
    assert "✅ `cuda:0` 5.0GB needed, room for 11.8GB **← taken**" in embed.description


async def test_why_tells_which_ways_were_skipped_and_by_how_much():
    async with gpu_rig() as rig:
        await rig.occupy(0, 7 * GIB)
        await rig.occupy(1, round(7.5 * GIB))
        await rig.models.load("painter")
        rig.models.clock_s += 90
        embed = await ask(rig, "!gpu why painter", rig.person)
    assert embed.title == "🔎 painter runs on cuda:0 (simulated) with less context"
    assert "decided 1 min 30 s ago" in embed.description
    assert "`cuda:0` 4.8GB free of 12.0GB → room for 4.8GB" in embed.description
    assert (
        "*as configured*\n❌ `cuda:0` 5.0GB needed, room for 4.8GB: short by" in embed.description
    )
    assert "*with 2048 instead of 8192 tokens of context*\n✅ `cuda:0`" in embed.description


async def test_why_names_who_left_and_what_that_costs():
    async with gpu_rig() as rig:
        await rig.models.load("chat")
        await rig.occupy(1, 11 * GIB)
        rig.models.clock_s += 60
        job = await rig.models.start_job("painter")
        await rig.models.end_job("painter", job)
        embed = await ask(rig, "!gpu why painter", rig.person)
    assert "Who left for it" not in embed.description
    async with gpu_rig() as rig:
        await rig.occupy(0, 5 * GIB)
        await rig.occupy(1, 11 * GIB)
        await rig.models.load("chat")
        rig.models.clock_s += 60
        await rig.models.start_job("painter")
        embed = await ask(rig, "!gpu why painter", rig.person)
        assert state(rig, "chat") is InstanceState.COLD
    assert "♻️ <t:1700000160:T> **chat**: room for painter: cuda:0 lacks" in embed.description


async def test_why_of_a_model_that_nobody_asked_for_says_so():
    async with gpu_rig() as rig:
        await rig.person.send(rig.general, "!gpu why yolo")
        assert "Nothing was decided about yolo yet" in rig.general.last_message.content


async def test_history_has_the_newest_first_with_time_and_reason():
    async with gpu_rig() as rig:
        await rig.models.load("yolo")
        await rig.models.unload("yolo")
        embed = await ask(rig, "!gpu history", rig.person)
    first, second = embed.description.splitlines()
    assert first == "⬇️ <t:1700000100:T> unload **yolo** on `cuda:1`: asked for"
    assert second.startswith("⬆️ <t:1700000100:T> load **yolo** on `cuda:1`: cuda:1 has")


async def test_an_unknown_model_is_answered_with_the_nearest_name():
    async with gpu_rig(check_errors=False) as rig:
        await rig.person.send(rig.general, "!gpu plan paimter")
        said = rig.general.last_message.content
        assert "no model is called “paimter”; did you mean painter?" in said
        result = await rig.person.slash(rig.general, "gpu why", model="@everyone **x**")
        assert "@everyone" not in result.response.content
        assert "**" not in result.response.content


async def test_graph_posts_the_picture_that_was_drawn():
    async with gpu_rig() as rig:
        rig.inference.on("media", DrawChart, [DrawnChart(width=8, height=8, png=PNG)])
        rig.history.note()
        await rig.models.load("yolo")
        rig.models.clock_s += 8
        rig.history.note()
        embed = await ask(rig, "!gpu graph 5", rig.person)
        (attachment,) = rig.general.last_message.attachments
        (request,) = rig.inference.requests(DrawChart)
    assert embed.image.url
    assert attachment.filename == "cards.png"
    assert request.span_s == 300
    assert (request.warning_pct, request.critical_pct) == (90, 95)
    second = request.cards[1]
    assert second.title == "cuda:1 · RTX 4070 SUPER"
    assert second.simulated
    assert second.own_bytes == (0, GIB, GIB)


@pytest.mark.parametrize("minutes", [0, -3, 61, 100_000])
async def test_a_graph_of_an_impossible_span_is_refused_with_the_range(minutes):
    async with gpu_rig(check_errors=False) as rig:
        await rig.person.send(rig.general, f"!gpu graph {minutes}")
        assert "the past 1 to 60 minutes can be shown" in rig.general.last_message.content


# --- changing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["load chat", "unload chat", "pin chat", "unpin chat", "reserve cuda:0 1GB"]
)
async def test_only_operators_may_change_anything(command):
    async with gpu_rig(check_errors=False) as rig:
        await rig.models.load("yolo")
        await rig.person.send(rig.general, f"!gpu {command}")
        assert "Danzar Operator" in rig.general.last_message.content
        assert not rig.audited
        assert state(rig, "chat") is InstanceState.COLD


async def test_load_asks_first_then_loads_and_is_audited():
    async with gpu_rig() as rig:
        embed = await ask(rig, "!gpu load painter")
        assert embed.title == "Load painter?"
        assert "painter would run on cuda:0 (simulated)." in embed.description
        assert state(rig, "painter") is InstanceState.COLD
        await press(rig, "Load")
        assert rig.last.description == "✅ painter is ready on cuda:0 (simulated)."
        assert state(rig, "painter") is InstanceState.READY
        ((actor, action, detail),) = rig.audited
        assert (action, detail) == ("gpu.load", "painter")
        assert actor.startswith("operator (")


async def test_load_says_who_would_have_to_leave():
    async with gpu_rig() as rig:
        await rig.occupy(0, 5 * GIB)
        await rig.occupy(1, 11 * GIB)
        await rig.models.load("chat")
        embed = await ask(rig, "!gpu load painter")
        assert "chat would leave to make room for painter." in embed.description
        assert "Leaves first: chat: 6.0GB back; reload 2.0 s x" in embed.description


async def test_what_changed_meanwhile_is_shown_and_asked_again():
    async with gpu_rig() as rig:
        await ask(rig, "!gpu load painter")
        await rig.occupy(0, 11 * GIB)
        await press(rig, "Load")
        assert rig.last.description.startswith("This has changed meanwhile; press again")
        assert "painter would run on cuda:1 (simulated)." in rig.last.description
        assert state(rig, "painter") is InstanceState.COLD
        await press(rig, "Load")
        assert state(rig, "painter") is InstanceState.READY


async def test_nobody_else_may_press_and_a_used_button_is_dead():
    async with gpu_rig() as rig:
        await rig.models.load("yolo")
        await ask(rig, "!gpu unload yolo")
        result = await press(rig, "Unload", rig.person)
        assert "Only the person who asked" in result.response.content
        assert state(rig, "yolo") is InstanceState.READY
        await press(rig, "Unload")
        assert state(rig, "yolo") is InstanceState.COLD
        buttons = [b for row in rig.general.last_message.components for b in row.children]
        assert [b.disabled for b in buttons] == [True, True]


async def test_cancel_does_nothing():
    async with gpu_rig() as rig:
        await rig.models.load("yolo")
        await ask(rig, "!gpu unload yolo")
        await press(rig, "Cancel")
        assert rig.last.description == "Cancelled; nothing was done."
        assert state(rig, "yolo") is InstanceState.READY
        assert not rig.audited


async def test_the_question_expires():
    async with gpu_rig() as rig:
        await ask(rig, "!gpu load yolo")
        await rig.env.advance_time(61)
        assert rig.last.description == "Nobody confirmed it; nothing was done."
        buttons = [b for row in rig.general.last_message.components for b in row.children]
        assert all(b.disabled for b in buttons)
        assert state(rig, "yolo") is InstanceState.COLD


async def test_what_is_loaded_is_not_loaded_again_and_what_is_not_is_not_unloaded():
    async with gpu_rig() as rig:
        await rig.models.load("yolo")
        embed = await ask(rig, "!gpu load yolo")
        assert embed.description == "yolo is loaded already: ready on cuda:1 (simulated)."
        embed = await ask(rig, "!gpu unload clip")
        assert embed.description == "clip is not loaded: not loaded."
        assert not rig.general.last_message.components


async def test_pin_and_unpin_are_at_once_and_audited():
    async with gpu_rig() as rig:
        await rig.operator.send(rig.general, "!gpu pin YOLO")
        assert rig.general.last_message.content.startswith("📌 yolo is pinned")
        assert rig.models.scheduler.instances["yolo"].facts.pinned
        await rig.operator.slash(rig.general, "gpu unpin", model="yolo")
        assert not rig.models.scheduler.instances["yolo"].facts.pinned
        assert [entry[1:] for entry in rig.audited] == [("gpu.pin", "yolo"), ("gpu.unpin", "yolo")]


# --- reservations ----------------------------------------------------------------------------


async def test_reserve_shows_the_consequences_and_then_keeps_the_bytes():
    async with gpu_rig() as rig:
        embed = await ask(rig, "!gpu reserve cuda:1 11GB games")
        assert embed.title == "Keep 11.0GB on cuda:1 for games?"
        assert "11.8GB of 12.0GB are free now" in embed.description
        assert (
            "From then on yolo would run on cuda:0 (simulated); "
            "as it stands, yolo would run on cuda:1 (simulated)."
        ) in embed.description
        assert "chat would run" not in embed.description
        await press(rig, "Reserve")
        kept = rig.ledger.reservations_on(rig.cards.uuids[1])
        assert [(r.purpose, r.size_bytes) for r in kept] == [("games", 11 * GIB)]
        embed = await ask(rig, "!gpu reserve list", rig.person)
        assert "⚙️ `cuda:0` 8.0GB for chat, as configured" in embed.description
        assert "🙋 `cuda:1` 11.0GB for games, by operator" in embed.description
        assert rig.audited[0][1:] == ("gpu.reserve", "11.0GB on cuda:1 for games")


async def test_reserve_says_what_is_taken_already():
    async with gpu_rig() as rig:
        await rig.models.load("yolo")
        embed = await ask(rig, "!gpu reserve 1 11.5GB")
        assert "are taken now: nothing leaves by itself. Unload some of yolo 1.0GB." in (
            embed.description
        )


async def test_clear_forgets_peoples_and_leaves_the_configured_ones():
    async with gpu_rig() as rig:
        await ask(rig, "!gpu reserve cuda:0 2GB games")
        await press(rig, "Reserve")
        await ask(rig, "!gpu reserve clear")
        await press(rig, "Clear")
        assert "1 reservations everywhere are gone" in rig.last.description
        assert [r.purpose for r in rig.ledger.book.reservations] == ["chat"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("cuda:7 1GB", "there is no such GPU; known: cuda:0, cuda:1"),
        ("cuda:0 lots", "that is no size; write it as 6GB"),
        ("cuda:0 6 GB", "less than 1MB; write 6GB without a blank"),
        ("cuda:0 -2GB", "that is no size"),
        ("cuda:0 2GB <@&1>", "a purpose is one word"),
    ],
)
async def test_a_wrong_reservation_is_refused_with_the_reason(arguments, why):
    async with gpu_rig(check_errors=False) as rig:
        await rig.operator.send(rig.general, f"!gpu reserve {arguments}")
        assert why in rig.general.last_message.content
        assert len(rig.ledger.book.reservations) == 1


async def test_more_than_the_card_has_cant_be_kept():
    async with gpu_rig() as rig:
        embed = await ask(rig, "!gpu reserve cuda:0 13GB")
        assert embed.description == "cuda:0 has 12.0GB, so 13.0GB can't be kept there."
        assert not rig.general.last_message.components


# --- the same by slash -------------------------------------------------------------------------


async def test_slash_commands_do_the_same():
    async with gpu_rig() as rig:
        result = await rig.person.slash(rig.general, "gpu plan", model="yolo")
        assert result.response.embeds[0].title == "🧮 yolo would run on cuda:1 (simulated)"
        result = await rig.operator.slash(rig.general, "gpu reserve set", device="0", size="1GB")
        assert result.response.embeds[0].title == "Keep 1.0GB on cuda:0 for games?"
        result = await rig.person.slash(rig.general, "gpu reserve list")
        assert "8.0GB for chat, as configured" in result.response.embeds[0].description
        await rig.operator.slash(rig.general, "gpu load", model="clip")
        await press(rig, "Load")
        assert state(rig, "clip") is InstanceState.READY


async def test_a_models_name_is_completed_as_it_is_typed():
    async with gpu_rig() as rig:
        choices = await rig.person.autocomplete(rig.general, "gpu why", "model", "ch")
        assert [choice["value"] for choice in choices] == ["chat"]
