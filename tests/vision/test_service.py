import asyncio

import pytest

from danzar.config.models import ModelsConfig, RoleChoice
from danzar.config.vision import VisionConfig
from danzar.errors import BadPicture, CannotPlace, DanzarError, WorkerDied
from danzar.inference import Placed
from danzar.inference_fake import Hold, ScriptedInference
from danzar.vision.observations import Detection, Hud, Insight
from danzar.vision.service import VisionService
from danzar.workers.contract import (
    Annotate,
    AnnotatedPicture,
    DecodedPicture,
    DecodePicture,
    Detect,
    DetectedBatch,
    DetectedObject,
    Picture,
    Rank,
    RankedBatch,
    RankedConcept,
    ReadLine,
    ReadText,
    TextBatch,
)
from tests.vision.worlds import grey_picture, until

SMALL = grey_picture(width=100, height=50)
JPEG = Picture(100, 50, "jpeg", b"jpeg")
ENEMY = DetectedObject("enemy", 0.9, (10.0, 5.0, 30.0, 25.0))
UNSURE = DetectedObject("boss", 0.35, (0.0, 0.0, 10.0, 10.0))
LINE = ReadLine("34%", 0.99, (30.0, 42.0, 40.0, 48.0))


def detects(request):
    return [DetectedBatch(((ENEMY, UNSURE),) * len(request.pictures))]


def ranks(request):
    scores = (RankedConcept("an enemy ahead", 0.8), RankedConcept("a boss fight", 0.2))
    return [RankedBatch((scores,) * len(request.pictures))]


@pytest.fixture
def inference():
    """Models that see a picture of 200 x 100, scaled down to half."""
    models = ScriptedInference()
    models.on("media", DecodePicture, [DecodedPicture(SMALL, 200, 100, 1)])
    models.on("media", Annotate, [AnnotatedPicture(JPEG)])
    models.on("detect", Detect, detects)
    models.on("rank", Rank, ranks)
    models.on("read", ReadText, [TextBatch(((LINE, LINE),))])
    return models


def failing(inference, model, kind, error):
    """Make one model fail, whatever it was told before."""
    inference._scripts[model, kind] = [[error]]


async def look(inference, config, data=b"file"):
    async with VisionService(inference, config) as vision:
        return await vision.observe(data)


async def test_what_was_seen_is_told_in_pixels_of_the_original(inference, config):
    seen = await look(inference, config)
    observed = seen.observation
    assert (observed.width, observed.height) == (200, 100)
    assert observed.detections == (Detection("enemy", 0.9, (20, 10, 60, 50)),)
    assert observed.insights == (Insight("an enemy ahead", 0.8),)
    assert observed.hud == Hud(health=34)
    assert [line.text for line in observed.text] == ["34%"]
    assert observed.text[0].box == (60, 84, 80, 96)
    assert observed.device == "cpu"
    assert set(observed.seconds) == {"decode", "detect", "rank", "read", "annotate"}
    assert observed.notes == ()
    assert seen.annotated_jpeg == b"jpeg"


async def test_boxes_are_drawn_on_the_scaled_picture(inference, config):
    await look(inference, config)
    (request,) = inference.requests(Annotate)
    assert [box.box for box in request.boxes] == [(10, 5, 30, 25)]
    assert request.boxes[0].text == "enemy 90%"


async def test_limits_of_the_config_go_to_the_decoder(inference, config):
    await look(inference, config)
    (request,) = inference.requests(DecodePicture)
    assert (request.max_pixels, request.max_side) == (50_000_000, 1280)


async def test_people_get_the_whole_text_and_watches_only_the_display(inference, config):
    async with VisionService(inference, config) as vision:
        await vision.observe(b"file")
        await vision.observe_frame(SMALL)
    person, frame = inference.requests(ReadText)
    assert person.regions == (*frame.regions, (0.0, 0.0, 1.0, 1.0))
    assert len(frame.regions) == 2


async def test_a_frame_keeps_what_rules_ask_for_and_people_are_not_told_of(inference, config):
    async with VisionService(inference, config) as vision:
        raw = await vision.observe_frame(SMALL)
        told = vision.tell(raw)
    assert [found.label for found in raw.detections] == ["enemy", "boss"]
    assert [found.label for found in told.detections] == ["enemy"]
    assert inference.requests(Detect)[0].confidence == 0.3
    assert len(raw.insights) == 2
    assert len(told.insights) == 1


async def test_frames_that_come_together_share_a_request(inference, config):
    async with VisionService(inference, config) as vision:
        await asyncio.gather(*(vision.observe_frame(SMALL) for _ in range(4)))
    assert [len(request.pictures) for request in inference.requests(Detect)] == [4]


@pytest.mark.parametrize(
    ("model", "kind", "name", "stage"),
    [
        ("detect", Detect, "Object detection", "detect"),
        ("rank", Rank, "Scene ranking", "rank"),
        ("read", ReadText, "Text reading", "read"),
    ],
)
async def test_a_model_that_has_no_room_leaves_the_others_and_a_note(
    inference, config, model, kind, name, stage
):
    failing(inference, model, kind, CannotPlace("cuda:1 has 0.4GB free and it needs 1.2GB"))
    observed = (await look(inference, config)).observation
    assert observed.notes == (f"{name} is missing: cuda:1 has 0.4GB free and it needs 1.2GB",)
    assert stage not in observed.seconds


async def test_roles_that_are_off_leave_notes(inference, config):
    off = config.model_copy(
        update={
            "vision": VisionConfig.model_validate({"clip": {"enabled": False}}),
            "models": ModelsConfig(
                use=RoleChoice(chat=None, detect="detect", rank="rank", read=None, media="media")
            ),
        }
    )
    notes = (await look(inference, off)).observation.notes
    assert notes == (
        "Scene ranking is missing: clip.enabled is false in vision_config.yaml",
        "Text reading is missing: use.read is null in models.yaml",
    )


async def test_nothing_that_can_look_is_an_error_with_every_reason(inference, config):
    for model, kind in (("detect", Detect), ("rank", Rank), ("read", ReadText)):
        failing(inference, model, kind, WorkerDied(f"{model} died"))
    with pytest.raises(DanzarError, match=r"detect died.*rank died.*read died"):
        await look(inference, config)


async def test_a_picture_that_can_not_be_drawn_on_is_still_answered(inference, config):
    failing(inference, "media", Annotate, WorkerDied("gone"))
    seen = await look(inference, config)
    assert seen.annotated_jpeg is None
    assert seen.observation.notes == ("The boxes could not be drawn on the picture.",)
    assert seen.observation.hud.health == 34


async def test_a_simulated_card_and_a_worse_place_are_told(inference, config):
    inference.placed = Placed("", "cuda:1", simulated=True, degraded="cuda:1 had only 0.5GB free")
    observed = (await look(inference, config)).observation
    assert observed.device == "cuda:1 (simulated)"
    assert observed.notes == ("cuda:1 had only 0.5GB free",)


async def test_empty_and_oversized_files_never_reach_a_model(inference, config):
    with pytest.raises(BadPicture, match="empty"):
        await look(inference, config, b"")
    with pytest.raises(BadPicture, match=r"at most 20\.0 MiB"):
        await look(inference, config, bytes(21 * 1024**2))
    assert inference.asked == []


async def test_a_file_that_is_no_picture_is_refused_before_anything_looks(inference, config):
    failing(inference, "media", DecodePicture, BadPicture("that is no picture"))
    with pytest.raises(BadPicture, match="that is no picture"):
        await look(inference, config)
    assert inference.requests(Detect) == []


async def test_a_model_that_never_answers_is_given_up(inference, config, monkeypatch):
    monkeypatch.setattr("danzar.vision.models._MODEL_TIMEOUT_S", 0.01)
    failing(inference, "read", ReadText, Hold(asyncio.Event()))
    observed = (await look(inference, config)).observation
    assert observed.notes == ("Text reading is missing: read gave no answer in 0 s",)


async def test_cancelling_stops_the_models_work(inference, config):
    for model, kind in (("detect", Detect), ("rank", Rank), ("read", ReadText)):
        failing(inference, model, kind, Hold(asyncio.Event()))
    async with VisionService(inference, config) as vision:
        looking = asyncio.create_task(vision.observe_frame(SMALL))
        await until(lambda: len(inference.asked) == 3)
        looking.cancel()
        await until(lambda: len(inference.closed_early) == 3)
    assert {type(request) for request in inference.closed_early} == {Detect, Rank, ReadText}


BAR = DetectedObject("health_bar", 0.99, (60.0, 30.0, 80.0, 40.0))
ELSEWHERE = ReadLine("71%", 0.9, (62.0, 31.0, 78.0, 39.0))


async def test_the_health_is_read_where_its_bar_was_found_if_the_region_has_none(inference, config):
    inference._scripts["detect", Detect] = [[DetectedBatch(((BAR,),))]]
    inference._scripts["read", ReadText] = [[TextBatch(((),))], [TextBatch(((ELSEWHERE,),))]]
    observed = (await look(inference, config)).observation
    assert observed.hud.health == 71
    assert observed.seconds["read"] == 1.0
    (region,) = inference.requests(ReadText)[1].regions
    assert region == pytest.approx((0.58, 0.56, 0.82, 0.84))


async def test_the_bar_is_not_read_when_the_region_has_the_number(inference, config):
    inference._scripts["detect", Detect] = [[DetectedBatch(((BAR,),))]]
    assert (await look(inference, config)).observation.hud.health == 34
    assert len(inference.requests(ReadText)) == 1


async def test_a_bar_that_can_not_be_read_leaves_the_health_unknown(inference, config):
    inference._scripts["detect", Detect] = [[DetectedBatch(((BAR,),))]]
    inference._scripts["read", ReadText] = [[TextBatch(((),))], [WorkerDied("gone")]]
    observed = (await look(inference, config)).observation
    assert observed.hud.health is None


async def test_a_part_of_the_display_that_stands_still_is_not_read_again(inference, config):
    small, large = config.active_profile.hud["ammo"], config.active_profile.hud["health"]
    ammo = ReadLine("50", 0.99, (2.0, 42.0, 12.0, 48.0))
    inference._scripts["read", ReadText] = [
        [TextBatch(((LINE, ammo),))],
        [TextBatch(((LINE,),))],
    ]
    async with VisionService(inference, config) as vision:
        first = await vision.observe_frame(SMALL)
        second = await vision.observe_frame(SMALL)
    assert [request.regions for request in inference.requests(ReadText)] == [
        (small.region, large.region),
        (large.region,),
    ]
    assert first.hud == second.hud == Hud(health=34, ammo=50)
