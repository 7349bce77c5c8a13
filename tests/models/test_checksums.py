import hashlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "models/SHA256SUMS").read_text().splitlines()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split()[1])
def test_what_ships_has_its_published_checksum(line):
    digest, name = line.split()
    assert hashlib.sha256((ROOT / "models" / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", ["yolo-nano.pt", "clip-doom/open_clip_model.safetensors"])
def test_the_manifest_has_the_published_checksum(name):
    published = {line.split()[1]: line.split()[0] for line in LINES}
    models = yaml.safe_load((ROOT / "config/models.yaml").read_text())["models"].values()
    assert published[name] in {model.get("sha256") for model in models}


@pytest.mark.parametrize(
    "folder", [b"/home/", b"/root/", b"/tmp/", b"/training/ultralytics", b"/Users/"]
)
def test_the_weights_do_not_tell_where_they_were_made(folder):
    assert folder not in (ROOT / "models/yolo-nano.pt").read_bytes()


def test_the_training_data_is_named_from_the_projects_folder():
    content = (ROOT / "models/yolo-nano.pt").read_bytes()
    assert b"training/yolo-data" in content
    assert b"/training/yolo-data" not in content
