import pytest

from danzar.core.asker import Asker, RequestClass
from danzar.errors import BadPicture, CannotPlace, WorkerDied
from danzar.inference_fake import Pause
from danzar.workers.contract import Annotate, DecodePicture, Detect, Generate, Rank, ReadText
from tests.cogs.vision_rig import EDIT_S, vision_config, vision_rig

PNG = ("frame.png", b"\x89PNG")


@pytest.fixture
async def rig(tmp_path):
    async with vision_rig(tmp_path) as made:
        yield made


def asked(rig):
    return rig.models.requests(Generate)[-1].messages[-1].content


async def see(rig, text="!see is my health low?", **kwargs):
    await rig.alice.send(rig.channel, text, **kwargs)
    await rig.settle()
    return rig.answers()[-1]


async def test_see_answers_with_the_boxes_the_numbers_and_the_models_words(rig):
    answer = await see(rig, attachments=[PNG])
    assert answer.content.startswith("📏 Health is 34, which is low.\n\nYes, it is low.")
    embed = answer.embeds[0]
    assert "**Health 34 (low: below 40)**" in embed.description
    assert "enemy 93% (left, near)" in embed.description
    assert "an enemy in sight 80%" in embed.description
    assert [file.filename for file in answer.attachments] == ["seen-frame.jpg"]
    assert embed.image.url.endswith("seen-frame.jpg")


async def test_the_footer_tells_the_device_that_it_is_simulated_and_the_seconds(rig):
    footer = (await see(rig, attachments=[PNG])).embeds[0].footer.text
    assert footer.startswith("cuda:1 (simulated) · decode 0.50 s · ")
    for stage in ("detect", "rank", "read", "annotate"):
        assert f"{stage} 0.50 s" in footer


async def test_the_model_gets_the_measured_facts_apart_from_the_question(rig):
    await see(rig, attachments=[PNG])
    assert asked(rig).startswith("[The picture shows: Health is 34, which is low.")
    assert "is my health low?" in asked(rig)


async def test_a_question_about_something_else_has_the_models_words_only(rig):
    answer = await see(rig, "!see what now?", attachments=[PNG])
    assert answer.content.startswith("Yes, it is low.")


async def test_see_looks_at_the_picture_of_the_message_that_it_replies_to(rig):
    posted = await rig.alice.send(rig.channel, "look", attachments=[PNG])
    answer = await see(rig, "!see what is this", reply_to=posted)
    assert "Health 34" in answer.embeds[0].description


async def test_see_without_a_picture_says_how_to_give_one(rig):
    answer = await see(rig)
    assert "There is no picture" in answer.content


async def test_the_slash_command_takes_the_picture_as_an_option(rig):
    result = await rig.alice.slash(rig.channel, "see", image=PNG, question="how much health?")
    await rig.settle()
    assert "Health 34" in rig.answers()[-1].embeds[0].description
    assert "how much health?" in asked(rig)
    assert not result.ephemeral


async def test_the_menu_asks_for_a_question_and_answers_it(rig):
    posted = await rig.alice.send(rig.channel, "look", attachments=[PNG])
    shown = await rig.alice.context_menu(rig.channel, "Ask Danzar", posted)
    assert shown.modal is not None
    await rig.alice.submit_modal(shown, {"question": "how much health?"})
    await rig.settle()
    assert "Health 34" in rig.answers()[-1].embeds[0].description
    assert "how much health?" in asked(rig)


async def test_the_menu_without_a_question_asks_the_default_one(rig):
    posted = await rig.alice.send(rig.channel, "look", attachments=[PNG])
    shown = await rig.alice.context_menu(rig.channel, "Ask Danzar", posted)
    await rig.alice.submit_modal(shown, {"question": ""})
    await rig.settle()
    assert asked(rig).endswith("What do you see?")


async def test_the_menu_on_a_message_without_a_picture_says_so_to_the_person_only(rig):
    posted = await rig.alice.send(rig.channel, "no picture")
    result = await rig.alice.context_menu(rig.channel, "Ask Danzar", posted)
    assert "no picture" in result.response.content
    assert result.ephemeral


async def test_a_bad_picture_has_its_line_and_the_others_are_answered(rig):
    good = rig.models._scripts["media", DecodePicture][0]
    rig.models.replace("media", DecodePicture, [BadPicture("The file is no picture.")], good)
    answer = await see(rig, attachments=[("notes.png", b"text"), PNG])
    text = answer.embeds[0].description
    assert "⚠️ **notes.png**: The file is no picture." in text
    assert "**frame.png**" in text
    assert "Picture 2: Health is 34, which is low." in asked(rig)


async def test_nothing_but_bad_pictures_is_answered_without_the_chat_model(rig):
    rig.models.replace("media", DecodePicture, [BadPicture("The file is empty.")])
    answer = await see(rig, attachments=[("a_b.png", b"x")])
    assert answer.content == "⚠️ **a\\_b.png**: The file is empty."
    assert rig.models.requests(Generate) == []


async def test_a_file_that_is_too_large_is_refused_before_it_is_downloaded(tmp_path):
    config = vision_config(tmp_path, pictures={"max_bytes": 3})
    async with vision_rig(tmp_path, config) as rig:
        requests = len(rig.env.http_requests)
        answer = await see(rig, attachments=[PNG])
        assert "it has 4 B, and I look at 3 B at most" in answer.content
        assert rig.models.requests(DecodePicture) == []
        assert not any("frame.png" in r.path for r in rig.env.http_requests[requests:])


async def test_more_pictures_than_allowed_are_named_as_left_out(rig):
    answer = await see(rig, attachments=[(f"{n}.png", b"\x89PNG") for n in range(6)])
    text = answer.embeds[0].description
    assert "Only the first 4 pictures were looked at; left out: 4.png, 5.png" in text
    assert len(answer.attachments) == 4
    assert len(rig.models.requests(DecodePicture)) == 4


async def test_pictures_of_one_message_share_a_batch(rig):
    await see(rig, attachments=[(f"{n}.png", b"\x89PNG") for n in range(3)])
    assert sum(len(r.pictures) for r in rig.models.requests(Detect)) == 3
    assert len(rig.models.requests(Detect)) < 3


async def test_what_was_seen_is_told_even_when_the_chat_model_is_not_there(rig):
    rig.models.replace("chat", Generate, [CannotPlace("cuda:0 has 0.3GB free")])
    answer = await see(rig, attachments=[PNG])
    assert "Health 34 (low: below 40)" in answer.embeds[0].description
    assert "cuda:0 has 0.3GB free" in answer.content


async def test_without_a_chat_model_in_the_config_what_was_measured_is_the_answer(tmp_path):
    async with vision_rig(tmp_path, vision_config(tmp_path, chat=None)) as rig:
        answer = await see(rig, attachments=[PNG])
        assert "No chat model is chosen" in answer.content
        assert "Health 34" in answer.embeds[0].description


async def test_a_model_that_is_missing_is_told_with_the_reason(rig):
    rig.models.replace("rank", Rank, [CannotPlace("cuda:1 has 0.4GB free, it needs 0.9GB")])
    text = (await see(rig, attachments=[PNG])).embeds[0].description
    assert "⚠️ Scene ranking is missing: cuda:1 has 0.4GB free, it needs 0.9GB" in text


async def test_no_vision_model_at_all_is_one_clear_line(rig):
    for model, kind in (("detect", Detect), ("rank", Rank), ("read", ReadText)):
        rig.models.replace(model, kind, [WorkerDied(f"{model} died")])
    answer = await see(rig, attachments=[PNG])
    assert answer.content.startswith("⚠️ **frame.png**: No vision model could look")
    assert rig.models.requests(Generate) == []


async def test_a_picture_that_can_not_be_drawn_on_is_answered_without_a_file(rig):
    rig.models.replace("media", Annotate, [WorkerDied("gone")])
    answer = await see(rig, attachments=[PNG])
    assert answer.attachments == []
    assert "could not be drawn" in answer.embeds[0].description


async def test_names_of_files_and_text_in_pictures_ping_and_format_nothing(rig):
    answer = await see(rig, attachments=[("**@everyone**.png", b"x"), PNG])
    assert "**@everyone**" not in answer.embeds[0].description
    assert not answer.mention_everyone


async def test_a_bug_is_one_line_with_the_log_told_and_nothing_of_it_shown(rig, caplog):
    rig.models.replace("media", DecodePicture, [ZeroDivisionError("geheim")])
    answer = await see(rig, attachments=[PNG])
    assert answer.content == "⚠️ **frame.png**: something went wrong."
    assert "looking at a picture failed" in caplog.text


async def test_one_person_can_not_fill_the_queue(rig):
    rig.models.replace("chat", Generate, [Pause(1000)])
    for _ in range(3):
        await rig.alice.send(rig.channel, "!see", attachments=[PNG])
    await rig.env.advance_time(EDIT_S)
    assert "already working on 2 questions" in rig.answers()[-1].content


async def test_the_queue_is_told_who_posted_a_picture(rig):
    await see(rig, attachments=[PNG])
    person = str(rig.alice.id)
    assert set(rig.models.askers) == {
        Asker(RequestClass.VISION, person),
        Asker(RequestClass.CHAT, person),
    }
