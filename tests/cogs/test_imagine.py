"""Pictures in Discord, over scripted models."""

from dataclasses import dataclass

import pytest

from danzar.core.asker import RequestClass
from danzar.errors import CannotPlace, WorkerDied
from danzar.inference import Placed
from danzar.inference_fake import Pause, Position
from danzar.pictures.png import size_of, words_in
from danzar.resources.requirement import OptimizationSuggestion
from danzar.workers.contract import GenerateImages, GenerateVideo, StepDone
from tests.cogs.imagine_rig import EDIT_S, PREVIEW, imagine_config, imagine_rig, paints

MAKING_S = 100.0
BUTTONS = ["Again", "Same seed, larger", "Same seed, smaller"]


@pytest.fixture
async def rig(tmp_path):
    async with imagine_rig(tmp_path) as made:
        yield made


def labels(message, *, works=True):
    items = [item for row in message.components for item in row.children]
    return [i.label for i in items if getattr(i, "label", None) and i.disabled is not works]


def slowly(request):
    """The script of a model that takes its time after the first step."""
    return [StepDone(1, 2, PREVIEW), Pause(MAKING_S), *paints(request)[1:]]


async def test_a_picture_comes_with_everything_that_makes_it_again(rig):
    answer = await rig.imagine("a castle --seed 7 --size 256x128")

    assert answer.content == (
        "🖼️ **a castle**\n-# seed 7 · 256x128 · 2 steps · 0.5 s · cuda:1 (simulated) · painter"
    )
    [file] = answer.attachments
    assert (file.filename, file.description) == ("danzar-7-1.png", "a castle")
    data = await file.read()
    assert size_of(data) == (256, 128)
    words = "a castle\nSteps: 2, Seed: 7, Size: 256x128, Model: painter"
    assert words_in(data) == {"parameters": words, "Software": "Danzar"}
    assert labels(answer) == BUTTONS


async def test_without_a_seed_one_is_chosen_and_told_and_gives_the_same_file_again(rig):
    first = await rig.imagine("a castle")
    seed = rig.last_request().seed
    assert f"seed {seed} ·" in first.content

    again = await rig.imagine(f"a castle --seed {seed}")
    assert await again.attachments[0].read() == await first.attachments[0].read()


async def test_the_class_of_the_request_is_picture_and_its_person_is_the_one_who_asked(rig):
    await rig.imagine("a castle")
    assert (rig.models.askers[-1].kind, rig.models.askers[-1].person) == (
        RequestClass.PICTURE,
        str(rig.alice.id),
    )


async def test_metadata_can_be_switched_off(tmp_path):
    async with imagine_rig(tmp_path, imagine_config(tmp_path, metadata=False)) as rig:
        answer = await rig.imagine("a secret castle")
        assert words_in(await answer.attachments[0].read()) == {}


async def test_the_slash_command_takes_options(rig):
    result = await rig.alice.slash(
        rig.channel, "imagine", prompt="a castle", size="256x128", seed=3, steps=5, count=2
    )
    await rig.settle()
    request = rig.last_request()
    assert (request.width, request.height, request.seed, request.steps) == (256, 128, 3, 5)
    answer = rig.answers()[-1]
    assert "seeds 3 to 4 · 2 pictures of 256x128" in answer.content
    assert [f.filename for f in answer.attachments] == ["danzar-3-1.png", "danzar-4-2.png"]
    assert not result.ephemeral


async def test_sizes_are_offered_while_typing(rig):
    choices = await rig.alice.autocomplete(rig.channel, "imagine", "size", "port")
    assert [(c["name"], c["value"]) for c in choices] == [("portrait 384x576", "384x576")]


async def test_the_first_message_is_there_before_anything_is_made_and_steps_are_shown(rig):
    rig.models.replace(slowly)
    await rig.alice.send(rig.channel, "!imagine a castle")
    [message] = rig.answers()
    assert "a castle" in message.content
    assert labels(message) == ["Stop"]
    await rig.settle()
    shown = rig.answers()[-1]
    assert "step 1/2 · cuda:1 (simulated)" in shown.content
    assert shown.attachments[0].filename == "preview.png"
    await rig.env.advance_time(MAKING_S)
    await rig.settle()
    done = rig.answers()[-1]
    assert [f.filename[:7] for f in done.attachments] == ["danzar-"]
    assert len(rig.answers()) == 1


async def test_the_place_in_the_queue_is_shown(rig):
    rig.models.replace(lambda request: [Position(3), Pause(MAKING_S), *paints(request)])
    answer = await rig.imagine("a castle")
    assert "⏳ Position 3 in the queue." in answer.content
    await rig.env.advance_time(MAKING_S)
    await rig.settle()


async def test_stop_ends_the_computing_and_says_so(rig):
    rig.models.replace(slowly)
    await rig.imagine("a castle")
    await rig.alice.click(rig.answers()[-1], label="Stop")
    await rig.settle()
    answer = rig.answers()[-1]
    assert answer.content.endswith("-# ⏹️ stopped")
    assert answer.attachments == []
    assert labels(answer) == ["Again"]
    assert rig.models.closed_early == rig.models.requests(GenerateImages)
    assert rig.audited == []


async def test_strangers_can_not_stop_it_and_an_operator_can_which_is_audited(rig):
    rig.models.replace(slowly)
    await rig.imagine("a castle")
    refused = await rig.bob.click(rig.answers()[-1], label="Stop")
    assert refused.ephemeral
    assert rig.models.closed_early == []
    await rig.operator.click(rig.answers()[-1], label="Stop")
    await rig.settle()
    assert len(rig.models.closed_early) == 1
    [(actor, action, detail)] = rig.audited
    assert actor.startswith("operator (")
    assert action == "imagine stop"
    assert "alice" in detail


async def test_deleting_the_message_ends_the_computing(rig):
    rig.models.replace(slowly)
    await rig.alice.send(rig.channel, "!imagine a castle")
    await rig.operator.delete(rig.answers()[-1])
    await rig.settle()
    assert len(rig.models.closed_early) == 1


async def test_when_danzar_leaves_the_message_says_that_nothing_comes(rig):
    rig.models.replace(slowly)
    await rig.imagine("a castle")
    await rig.env.bot.remove_cog("Imagine")
    await rig.settle()
    assert "Danzar was stopped; ask again" in rig.answers()[-1].content
    assert len(rig.models.closed_early) == 1


async def test_again_makes_another_one_for_whoever_pressed(rig):
    await rig.imagine("a castle --seed 7 --no people")
    await rig.bob.click(rig.answers()[-1], label="Again")
    await rig.settle()
    request = rig.last_request()
    assert (request.prompt, request.negative_prompt) == ("a castle", "people")
    assert request.seed != 7
    assert rig.models.askers[-1].person == str(rig.bob.id)
    assert len(rig.answers()) == 2


async def test_larger_and_smaller_keep_the_seed_and_the_shape(rig):
    await rig.imagine("a castle --seed 7 --size 512x256")
    first = rig.answers()[-1]
    await rig.alice.click(first, label="Same seed, larger")
    await rig.settle()
    assert (rig.last_request().width, rig.last_request().height) == (768, 384)
    assert rig.last_request().seed == 7
    await rig.alice.click(first, label="Same seed, smaller")
    await rig.settle()
    assert (rig.last_request().width, rig.last_request().height) == (336, 176)


async def test_what_would_be_too_large_or_too_small_is_grey(rig):
    answer = await rig.imagine("a castle --size 32x2048")
    assert labels(answer, works=False) == ["Same seed, larger", "Same seed, smaller"]


async def test_variations_come_as_many_as_chosen_with_new_seeds(rig):
    await rig.imagine("a castle --seed 7")
    await rig.alice.select(rig.answers()[-1], values=["3"])
    await rig.settle()
    assert rig.last_request().count == 3
    assert rig.last_request().seed != 7
    assert len(rig.answers()[-1].attachments) == 3


async def test_the_buttons_are_grey_when_their_time_is_over(rig):
    await rig.imagine("a castle")
    await rig.env.advance_time(1000)
    assert labels(rig.answers()[-1]) == []


async def test_a_prompt_pings_nobody_and_formats_nothing(rig):
    answer = await rig.imagine("@everyone **bold** <@&1> `code`")
    assert answer.mentions == []
    assert not answer.mention_everyone
    assert "\\*\\*bold\\*\\*" in answer.content
    assert "@everyone" not in answer.content


WRONG = {
    "--seed 7": "nothing to make a picture of",
    "x" * 1001: "1,001 characters; at most 1,000",
    "a --size 100x64": "100x64 can't be made: both sides must be multiples of 8; try 96x64",
    "a --size 10000": "10000x10000 is no size that I make: each side has 32 to 2048 px",
    "a --size 8x8": "8x8 is no size that I make",
    "a --size huge": "“huge” is no size",
    "a --steps 0": "0 steps can't be made; allowed are 1 to 100",
    "a --steps many": "--steps: “many” is no whole number",
    "a --seed -1": "-1 is no seed",
    "a --count 5": "5 pictures can't be made; allowed are 1 to 4",
    "a --count 0": "0 pictures can't be made",
    "a --seconds 3": "A picture has no length",
    "a --cfg 3": "--cfg is unknown; there are --size",
}


@pytest.mark.parametrize(("words", "line"), WRONG.items())
async def test_bad_input_gets_one_line_and_nothing_is_made(rig, words, line):
    answer = await rig.imagine(words)
    assert line in answer.content
    assert answer.content.startswith("⚠️ ")
    assert rig.models.asked == []


async def test_a_blocked_word_is_refused_and_the_same_letters_in_another_word_are_not(tmp_path):
    async with imagine_rig(tmp_path, imagine_config(tmp_path, blocked_words=["Gore"])) as rig:
        refused = await rig.imagine("lots of gore!")
        assert "The word “Gore” is blocked here" in refused.content
        await rig.imagine("a gorely place")
        assert len(rig.models.asked) == 1


async def test_without_a_model_the_answer_says_how_to_get_one(tmp_path):
    config = imagine_config(tmp_path, roles={"imagine": None})
    async with imagine_rig(tmp_path, config) as rig:
        answer = await rig.imagine("a castle")
        assert "no model is chosen for it" in answer.content
        assert "choose `painter`" in answer.content
        assert "`use.imagine: painter`" in answer.content


async def test_only_the_channels_that_the_owner_named(tmp_path):
    async with imagine_rig(tmp_path, imagine_config(tmp_path, channels=["art"])) as rig:
        assert "made in #art only" in (await rig.imagine("a castle")).content
        rig.channel = rig.guild.create_text_channel("art")
        assert "🖼️" in (await rig.imagine("a castle")).content


async def test_only_members_with_the_role_that_the_owner_named(tmp_path):
    config = imagine_config(tmp_path, role="danzar operator")
    async with imagine_rig(tmp_path, config) as rig:
        assert "with the role “danzar operator”" in (await rig.imagine("a castle")).content
        assert "🖼️" in (await rig.imagine("a castle", rig.operator)).content


async def test_only_age_restricted_channels_where_the_owner_says_so(tmp_path):
    async with imagine_rig(tmp_path, imagine_config(tmp_path, require_nsfw_channel=True)) as rig:
        assert "age-restricted channels only" in (await rig.imagine("a castle")).content


async def test_a_person_has_only_so_many_pictures_in_work(tmp_path):
    async with imagine_rig(tmp_path, imagine_config(tmp_path, per_person=1)) as rig:
        rig.models.replace(slowly)
        await rig.imagine("a castle")
        assert "already working on 1 pictures of yours" in (await rig.imagine("a dog")).content
        await rig.imagine("a cat", rig.bob)
        assert len(rig.models.asked) == 2


async def test_a_lost_worker_is_told_and_can_be_tried_again(rig):
    rig.models.replace([StepDone(1, 2), WorkerDied("the worker of painter ended")])
    answer = await rig.imagine("a castle")
    assert answer.content.endswith("⚠️ the worker of painter ended")
    assert labels(answer) == ["Again"]


async def test_what_was_forced_by_the_place_is_in_the_answer(rig):
    forced = "on the CPU, as cuda:0 has 0.4GB free of the 5.1GB needed"
    place = Placed("painter", "cpu", simulated=False, degraded=forced)
    rig.models.replace(lambda request: [place, *paints(request)])
    assert f"\n-# {forced}" in (await rig.imagine("a castle")).content


async def test_no_room_at_all_is_said_in_a_line(rig):
    rig.models.replace([CannotPlace("painter needs 6.0 GiB and 2.0 GiB are free")])
    assert "⚠️ painter needs 6.0 GiB" in (await rig.imagine("a castle")).content


async def test_a_video_comes_as_mp4(rig):
    await rig.alice.send(rig.channel, "!animate a dragon --seconds 2 --size 64x64 --seed 1")
    await rig.settle()
    [request] = rig.models.requests(GenerateVideo)
    assert (request.frames, request.fps) == (33, 16)
    assert rig.answers()[-1].attachments[0].filename == "danzar-1.mp4"


async def test_imagine_makes_a_video_where_it_is_asked_with_a_colon(rig):
    await rig.imagine("video: a dragon")
    await rig.imagine("video game castle")
    assert [r.prompt for r in rig.models.requests(GenerateVideo)] == ["a dragon"]
    assert rig.last_request().prompt == "video game castle"


# --- where there is not enough room -----------------------------------------------------------


@dataclass
class Plan:
    verdict: str
    request: GenerateImages
    suggestions: tuple = ()
    text: str = "it does not fit"


def change(parameter, before, after, impact, rank):
    why = f"without it 9.0 GiB are needed, and cuda:0 has room for 4.0 GiB; {parameter}"
    return OptimizationSuggestion(parameter, before, after, why, "saves", impact, rank)


def smaller_plan(request):
    changes = (
        change("offload", "none", "model", "none", 0),
        change("resolution", "512x512", "256x256", "visible", 8),
    )
    small = GenerateImages(request.prompt, width=256, height=256)
    return Plan("changed", small, changes)


@pytest.fixture
async def crowded(tmp_path):
    """A card with too little room; ``rig.plans`` says what the preflight answers."""
    plans = [smaller_plan]

    async def preflight(model, request):
        return (plans.pop(0) if len(plans) > 1 else plans[0])(request)

    async with imagine_rig(tmp_path, preflight=preflight) as rig:
        rig.plans = plans
        yield rig


async def test_a_change_that_shows_is_asked_about_before_anything_is_made(crowded):
    answer = await crowded.imagine("a castle")
    assert "512x512 does not fit just now. It would go as 256x256:" in answer.content
    assert "resolution 512x512 → 256x256 (loss: visible): without it 9.0 GiB" in answer.content
    assert labels(answer) == ["Make it smaller", "Wait", "Cancel"]
    assert crowded.models.asked == []

    await crowded.alice.click(answer, label="Make it smaller")
    await crowded.settle()
    done = crowded.answers()[-1]
    assert size_of(await done.attachments[0].read()) == (256, 256)
    assert "-# resolution 512x512 → 256x256 (loss: visible)" in done.content


async def test_cancel_makes_nothing_and_so_does_no_answer(crowded):
    answer = await crowded.imagine("a castle")
    await crowded.alice.click(answer, label="Cancel")
    await crowded.settle()
    assert crowded.answers()[-1].content.endswith("⏹️ nothing was made")

    await crowded.imagine("a dog")
    await crowded.env.advance_time(130)
    assert crowded.answers()[-1].content.endswith("⏹️ nothing was made")
    assert crowded.models.asked == []


async def test_wait_makes_it_as_asked_when_there_is_room(crowded):
    answer = await crowded.imagine("a castle")
    crowded.plans[:] = [smaller_plan, lambda request: Plan("ready", request)]
    await crowded.alice.click(answer, label="Wait")
    await crowded.env.advance_time(60)
    assert crowded.last_request().width == 512
    assert "🖼️" in crowded.answers()[-1].content


async def test_wait_ends_when_it_took_too_long(crowded):
    answer = await crowded.imagine("a castle")
    await crowded.alice.click(answer, label="Wait")
    await crowded.env.advance_time(EDIT_S)
    assert "Waiting for room, for 10 min at most." in crowded.answers()[-1].content
    await crowded.env.advance_time(700)
    assert "there was no room in all that time" in crowded.answers()[-1].content
    assert crowded.models.asked == []


async def test_what_nobody_sees_is_changed_without_a_question_and_told(crowded):
    hidden = change("offload", "none", "model", "none", 0)
    crowded.plans[:] = [lambda request: Plan("changed", request, (hidden,))]
    done = await crowded.imagine("a castle")
    assert "-# offload none → model (loss: none): without it 9.0 GiB are needed" in done.content
    assert done.attachments


async def test_where_nothing_helps_one_can_wait_or_cancel(crowded):
    crowded.plans[:] = [lambda request: Plan("impossible", request, text="9 GiB are missing")]
    answer = await crowded.imagine("a castle")
    assert "❌ 9 GiB are missing." in answer.content
    assert labels(answer) == ["Wait", "Cancel"]
