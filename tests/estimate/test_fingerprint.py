import pytest

from danzar.errors import ModelMissing
from danzar.estimate.fingerprint import fingerprint

MIB = 1024**2


def test_the_same_content_has_the_same_fingerprint(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"x" * 3 * MIB)
    assert fingerprint(tmp_path / "a.gguf") == fingerprint(tmp_path / "b.gguf")


@pytest.mark.parametrize("at", [0, MIB - 1, 3 * MIB - 1])
def test_a_change_at_either_end_changes_it(tmp_path, at):
    content = bytearray(3 * MIB)
    (tmp_path / "a.gguf").write_bytes(content)
    content[at] = 1
    (tmp_path / "b.gguf").write_bytes(content)
    assert fingerprint(tmp_path / "a.gguf") != fingerprint(tmp_path / "b.gguf")


def test_another_length_changes_it(tmp_path):
    (tmp_path / "a.gguf").write_bytes(bytes(100))
    (tmp_path / "b.gguf").write_bytes(bytes(101))
    assert fingerprint(tmp_path / "a.gguf") != fingerprint(tmp_path / "b.gguf")


def test_a_folder_is_known_by_its_weights(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"weights")
    before = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("new")
    assert fingerprint(tmp_path) == before
    (tmp_path / "m.safetensors").write_bytes(b"Weights")
    assert fingerprint(tmp_path) != before


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelMissing, match=r"none\.gguf can't be read"):
        fingerprint(tmp_path / "none.gguf")
