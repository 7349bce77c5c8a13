"""When a copy is still right: the same file, the same settings that shape the weights."""

import os

import msgspec
import pytest

from danzar.broker.warm_copies import WarmCopies, source_of
from danzar.workers.contract import LoadSpec


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"weights")
    return LoadSpec(
        "yolo",
        "yolo",
        str(tmp_path / "weights.pt"),
        settings={"imgsz": 320, "max_batch": 16},
        checksum="abc",
    )


def test_the_same_file_is_the_same_source(spec):
    assert source_of(spec) == source_of(msgspec.structs.replace(spec))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"settings": {"imgsz": 320, "max_batch": 2}}, id="a smaller batch"),
        pytest.param({"torch_device": "cuda:0"}, id="another device"),
        pytest.param({"settings": {"imgsz": 320, "max_batch": 16, "threads": 2}}, id="threads"),
    ],
)
def test_what_changes_no_weight_changes_no_source(spec, change):
    assert source_of(msgspec.structs.replace(spec, **change)) == source_of(spec)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"checksum": "def"}, id="another checksum"),
        pytest.param({"settings": {"imgsz": 640, "max_batch": 16}}, id="another setting"),
        pytest.param({"path": "/elsewhere.pt"}, id="another path"),
        pytest.param({"backend": "clip"}, id="another backend"),
    ],
)
def test_what_changes_weights_changes_the_source(spec, change):
    assert source_of(msgspec.structs.replace(spec, **change)) != source_of(spec)


def test_weights_of_half_precision_belong_to_their_device(spec):
    half = msgspec.structs.replace(spec, settings={"half": True})
    on_card = msgspec.structs.replace(half, torch_device="cuda:0")

    assert source_of(half) != source_of(on_card)


def test_a_file_that_was_written_again_is_another_source(spec):
    before = source_of(spec)
    with open(spec.path, "wb") as file:  # noqa: PTH123 - the spec has a text
        file.write(b"Weights")
    os.utime(spec.path, ns=(1, 1))

    assert source_of(spec) != before


def test_any_file_of_a_folder_counts(tmp_path, spec):
    folder = msgspec.structs.replace(spec, path=str(tmp_path))
    before = source_of(folder)
    (tmp_path / "open_clip_config.json").write_text("{}", encoding="utf-8")

    assert source_of(folder) != before


async def test_what_is_not_kept_is_loaded_as_it_was_asked(spec):
    assert await WarmCopies().equip(spec) == spec
