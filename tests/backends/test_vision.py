"""YOLO, CLIP and the text reader on real files: what their answers mean."""

import hashlib

import pytest
import pytest_asyncio
from PIL import Image

from danzar import errors
from danzar.backends.pictures import from_image
from danzar.workers.contract import Detect, LoadSpec, Rank, ReadText
from danzar.workers.process import WorkerProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="module"),
]


def yolo_spec(models, sha256=None, name="yolo", **settings):
    path = models / "yolo.pt"
    sha256 = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
    return LoadSpec(name, "yolo", str(path), settings={"sha256": sha256} | settings)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def torch_worker(models):
    worker = await WorkerProcess.start("torch")
    try:
        await worker.load(yolo_spec(models, imgsz=320, max_batch=2, threads=1))
        await worker.load(LoadSpec("clip", "clip", str(models / "clip")))
        yield worker
    finally:
        await worker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader():
    worker = await WorkerProcess.start("onnx")
    try:
        await worker.load(LoadSpec("ocr", "ocr", None))
        yield worker
    finally:
        await worker.stop()


async def answer(worker, model, request):
    return [item async for item in worker.run(model, request)][-1].result


def plain(width, height, colour="black"):
    return from_image(Image.new("RGB", (width, height), colour))


async def test_boxes_are_in_pixels_of_each_sent_picture_best_first(torch_worker):
    pictures = (plain(640, 200), plain(100, 300), plain(64, 64))
    found = (await answer(torch_worker, "yolo", Detect(pictures))).pictures
    assert len(found) == 3
    for picture, objects in zip(pictures, found, strict=True):
        assert objects
        scores = [each.confidence for each in objects]
        assert scores == sorted(scores, reverse=True)
        for each in objects:
            x1, y1, x2, y2 = each.box
            assert 0 <= x1 < x2 <= picture.width
            assert 0 <= y1 < y2 <= picture.height
        assert max(each.box[2] for each in objects) > picture.width * 0.9
        assert max(each.box[3] for each in objects) > picture.height * 0.9


async def test_only_the_classes_asked_for_are_found(torch_worker):
    found = await answer(torch_worker, "yolo", Detect((plain(64, 64),), classes=("thing7",)))
    assert {each.label for each in found.pictures[0]} == {"thing7"}
    none = await answer(torch_worker, "yolo", Detect((plain(64, 64),), classes=("thing3",)))
    assert none.pictures == ((),)


async def test_a_class_that_the_model_lacks_is_named(torch_worker):
    with pytest.raises(errors.BadInput, match=r"no class 'dragon'.*thing0"):
        await answer(torch_worker, "yolo", Detect((plain(64, 64),), classes=("dragon",)))


async def test_a_pickle_with_another_checksum_stays_closed(torch_worker, models):
    spec = yolo_spec(models, sha256="0" * 64, name="other")
    with pytest.raises(errors.ModelRefused, match="stays closed"):
        await torch_worker.load(spec)


@pytest.mark.parametrize("keep", [0, 1000, 3_000_000])
async def test_cut_weights_are_refused_even_with_the_right_checksum(
    torch_worker, models, tmp_path, keep
):
    path = tmp_path / "cut.pt"
    path.write_bytes((models / "yolo.pt").read_bytes()[:keep])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(errors.ModelRefused):
        await torch_worker.load(LoadSpec("cut", "yolo", str(path), settings={"sha256": sha256}))


async def test_a_pickle_that_runs_code_is_refused_even_with_the_right_checksum(
    torch_worker, tmp_path
):
    path, proof = tmp_path / "evil.pt", tmp_path / "ran"
    path.write_bytes(b"cposix\nsystem\n(S'touch " + str(proof).encode() + b"'\ntR.")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(errors.DanzarError):
        await torch_worker.load(LoadSpec("evil", "yolo", str(path), settings={"sha256": sha256}))
    assert not proof.exists()


async def test_scores_add_up_to_one_and_come_best_first(torch_worker):
    concepts = ("a boss", "an enemy", "nothing there")
    pictures = tuple(plain(50, 50, colour) for colour in ("red", "green", "blue"))
    ranked = await answer(torch_worker, "clip", Rank(pictures, concepts))
    for each in ranked.pictures:
        assert sorted(r.concept for r in each) == sorted(concepts)
        assert sum(r.score for r in each) == pytest.approx(1, abs=1e-4)
        assert [r.score for r in each] == sorted((r.score for r in each), reverse=True)


async def test_asking_does_not_change_later_answers(torch_worker):
    request = Rank((plain(50, 50, "red"),), ("a", "b"))
    first = (await answer(torch_worker, "clip", request)).pictures
    for number in range(40):
        await answer(torch_worker, "clip", Rank((plain(9, 9),), (f"concept {number}", "b")))
    assert (await answer(torch_worker, "clip", request)).pictures == first


@pytest.mark.parametrize("concepts", [(), tuple(str(n) for n in range(257))])
async def test_no_concepts_or_too_many_are_refused(torch_worker, concepts):
    with pytest.raises(errors.BadInput, match="concepts were asked for"):
        await answer(torch_worker, "clip", Rank((plain(9, 9),), concepts))


async def test_cut_clip_weights_are_refused(torch_worker, models, tmp_path):
    for file in (models / "clip").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:5000])
    with pytest.raises(errors.ModelRefused, match="can't load"):
        await torch_worker.load(LoadSpec("cut", "clip", str(tmp_path)))


async def test_text_is_read_with_its_place(reader, scene):
    lines = (await answer(reader, "ocr", ReadText((scene,)))).pictures[0]
    health = next(line for line in lines if "73%" in line.text)
    x1, y1, x2, y2 = health.box
    assert 90 <= x1 < x2 <= 400
    assert 400 <= y1 < y2 <= 480
    assert 0.5 <= health.confidence <= 1


async def test_a_region_is_read_alone_and_its_boxes_stay_in_the_whole_pictures_pixels(
    reader, scene
):
    request = ReadText((scene,), regions=((0.1, 0.8, 0.7, 1.0),))
    (line,) = (await answer(reader, "ocr", request)).pictures[0]
    assert "73%" in line.text
    assert line.box[1] >= 0.8 * 480
    elsewhere = ReadText((scene,), regions=((0.0, 0.0, 1.0, 0.5),))
    assert (await answer(reader, "ocr", elsewhere)).pictures == ((),)


@pytest.mark.parametrize("region", [(0.5, 0, 0.4, 1), (0, 0, 2, 1), (-0.1, 0, 1, 1)])
async def test_a_region_that_is_none_is_refused(reader, scene, region):
    with pytest.raises(errors.BadInput, match="is no region"):
        await answer(reader, "ocr", ReadText((scene,), regions=(region,)))


async def test_a_tiny_picture_has_no_text_and_no_error(reader):
    assert (await answer(reader, "ocr", ReadText((plain(2, 2),)))).pictures == ((),)
