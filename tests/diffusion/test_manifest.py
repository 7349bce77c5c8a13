"""A pipeline's folder is verified as a whole before a worker gets it."""

import hashlib

import pytest
import yaml

from danzar.config.load import load_config
from danzar.errors import ModelMissing, ModelRefused
from danzar.models.manifest import load_spec
from danzar.models.verify import verify
from tests.diffusion.shapes import SD15, make_shape


@pytest.fixture
def project(tmp_path):
    """A project with one pipeline; ``project(**entry)`` is its configuration."""
    make_shape(tmp_path / "models" / "sd", SD15)
    (tmp_path / "config").mkdir()

    def make(allow=(), **entry):
        model = {"backend": "diffusion", "role": "imagine", "path": "models/sd", **entry}
        use = {"chat": None, "detect": None, "rank": None, "read": None, "media": "media"}
        models = {"sd": model, "media": {"backend": "media", "role": "media"}}
        written = {"use": use, "models": models, "allow_unverified": list(allow)}
        (tmp_path / "config" / "models.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
        return load_config(tmp_path / "config", {})

    return make


def test_its_checksum_is_that_of_the_list_that_sha256sum_writes(project, tmp_path):
    folder = tmp_path / "models" / "sd"
    names = sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/**/*") if p.is_file())
    listed = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ["model_index.json", *names]
    )
    assert verify("sd", project()).sha256 == hashlib.sha256(listed.encode()).hexdigest()


def test_a_changed_file_is_refused(project, tmp_path):
    sha256 = verify("sd", project()).sha256
    assert verify("sd", project(sha256=sha256)).basis == "manifest"
    (tmp_path / "models" / "sd" / "unet" / "config.json").write_text("{}")
    with pytest.raises(ModelRefused, match="sha256 is"):
        load_spec(project(sha256=sha256), "sd", "cpu")


def test_a_pickle_is_refused_unless_its_owner_allows_it(project, tmp_path):
    unet = tmp_path / "models" / "sd" / "unet"
    (unet / "model.safetensors").rename(unet / "model.bin")
    with pytest.raises(ModelRefused, match=r"model\.bin is a pickle"):
        load_spec(project(), "sd", "cpu")
    assert load_spec(project(allow=["sd"]), "sd", "cpu").settings["unverified"] is True


def test_a_pickle_beside_the_same_weights_is_not_opened_and_hinders_nobody(project, tmp_path):
    (tmp_path / "models" / "sd" / "unet" / "model.bin").touch()
    (tmp_path / "models" / "sd" / "v1-5.ckpt").touch()
    assert load_spec(project(), "sd", "cpu").settings["unverified"] is False


def test_the_settings_can_not_allow_pickles(project):
    settings = load_spec(project(settings={"unverified": True}), "sd", "cpu").settings
    assert settings["unverified"] is False


def test_the_description_of_a_single_file_stays_inside_the_project(project):
    entry = {"settings": {"config": "models/described"}}
    assert load_spec(project(**entry), "sd", "cpu").settings["config"].endswith("models/described")
    with pytest.raises(ModelRefused, match="must lie inside"):
        load_spec(project(settings={"config": "../elsewhere"}), "sd", "cpu")


def test_a_folder_without_weights_is_missing(project, tmp_path):
    for file in (tmp_path / "models" / "sd").rglob("*.safetensors"):
        file.unlink()
    with pytest.raises(ModelMissing, match="holds a pipeline's description, and no weights"):
        verify("sd", project())
