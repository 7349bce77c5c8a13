import json
import struct
import zipfile
from pathlib import Path

import pytest

from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.torch_files import open_torch
from danzar.estimate.torch_weights import weights_bytes

REPOSITORY = Path(__file__).resolve().parents[2]


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, size_bytes) in tensors.items():
        header[name] = {"dtype": dtype, "shape": [], "data_offsets": [at, at + size_bytes]}
        at += size_bytes
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


def test_numbers_in_half_precision_widen_where_the_model_computes_in_single(tmp_path):
    write_safetensors(tmp_path / "m.safetensors", {"a": ("F16", 1000), "b": ("F32", 400)})
    assert weights_bytes(tmp_path / "m.safetensors", 4) == 2000 + 400
    assert weights_bytes(tmp_path / "m.safetensors", 2) == 1000 + 200


def test_whole_numbers_stay_as_they_are(tmp_path):
    write_safetensors(tmp_path / "m.safetensors", {"steps": ("I64", 80)})
    assert weights_bytes(tmp_path / "m.safetensors", 2) == 80


def test_a_folder_counts_its_weights_and_not_its_texts(tmp_path):
    (tmp_path / "deep").mkdir()
    write_safetensors(tmp_path / "deep" / "m.safetensors", {"a": ("F32", 400)})
    (tmp_path / "README.md").write_bytes(bytes(9000))
    assert weights_bytes(tmp_path, 4) == 400


@pytest.mark.parametrize("name", ["none.pt", "."])
def test_no_weights_are_missing(tmp_path, name):
    with pytest.raises(ModelMissing, match="holds no weights"):
        weights_bytes(tmp_path / name, 4)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, struct.pack("<Q", 4) + b"oops", struct.pack("<Q", 11) + b'{"a": "no"}'],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ModelRefused, match=r"m\.safetensors is damaged"):
        weights_bytes(tmp_path / "m.safetensors", 4)


def test_a_checkpoint_with_a_broken_pickle_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02broken")
        archive.writestr("m/data/0", bytes(64))
    with pytest.raises(ModelRefused, match=r"m\.pt is damaged"):
        weights_bytes(tmp_path / "m.pt", 4)


def test_a_checkpoint_is_measured_without_carrying_out_its_pickle(tmp_path):
    evil = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", evil)
        archive.writestr("m/data/0", bytes(64))
    assert weights_bytes(tmp_path / "m.pt", 4) == 64
    assert not (tmp_path / "ran").exists()


def test_half_precision_counts_on_the_card_only(tmp_path):
    write_safetensors(tmp_path / "m.safetensors", {"a": ("F32", 400)})
    model = open_torch(tmp_path / "m.safetensors", {"precision": "fp16"}, "clip")
    assert model.footprint(on_card=True).weights_bytes == 200
    assert model.footprint(on_card=False).weights_bytes == 400


def test_a_clips_folder_says_how_large_its_pictures_are():
    shipped = open_torch(REPOSITORY / "models" / "clip-doom", {}, "clip")
    config = json.loads((REPOSITORY / "models/clip-doom/open_clip_config.json").read_text())
    assert shipped.side_px == config["model_cfg"]["vision_cfg"]["image_size"]


@pytest.mark.model
@pytest.mark.parametrize(
    ("backend", "path", "settings"),
    [
        ("yolo", "models/yolo-nano.pt", {"imgsz": 320}),
        ("clip", "models/clip-doom", {}),
    ],
)
def test_shipped_weights_take_what_torch_says_they_do(backend, path, settings):
    import hashlib
    import importlib

    from danzar.workers.contract import LoadSpec

    module = importlib.import_module(f"danzar.backends.{backend}")
    given = dict(settings)
    if backend == "yolo":
        given["sha256"] = hashlib.sha256((REPOSITORY / path).read_bytes()).hexdigest()
    spec = LoadSpec(backend, backend, str(REPOSITORY / path), settings=given)
    loaded, report = module.load(spec)
    loaded.close()
    ours = open_torch(REPOSITORY / path, settings, backend).host_weights_bytes
    assert abs(ours / report.weights_bytes - 1) < 0.01, (ours, report.weights_bytes)
