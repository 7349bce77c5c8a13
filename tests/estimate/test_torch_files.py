import pytest

from danzar.errors import ModelMissing
from danzar.estimate.torch_files import CUDA_CONTEXT_BYTES, PictureLoad, estimate_torch


def test_a_file_counts_with_its_activations_and_the_cuda_context(tmp_path):
    (tmp_path / "m.pt").write_bytes(bytes(1000))
    footprint = estimate_torch(tmp_path / "m.pt", PictureLoad(4, 320, 50))
    assert footprint.weights_bytes == 1000
    assert footprint.activations_bytes == 4 * 320 * 320 * 50
    assert footprint.cuda_context_bytes == CUDA_CONTEXT_BYTES


def test_half_precision_files_may_widen_in_memory(tmp_path):
    (tmp_path / "m.pt").write_bytes(bytes(1000))
    footprint = estimate_torch(tmp_path / "m.pt", PictureLoad(), on_card=False, widening=2)
    assert footprint.weights_bytes == 2000
    assert footprint.cuda_context_bytes == 0


def test_a_folder_counts_its_weights_and_not_its_texts(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "open_clip_model.safetensors").write_bytes(bytes(500))
    (tmp_path / "README.md").write_bytes(bytes(9000))
    assert estimate_torch(tmp_path, PictureLoad()).weights_bytes == 500


@pytest.mark.parametrize("name", ["none.pt", "."])
def test_no_weights_are_missing(tmp_path, name):
    with pytest.raises(ModelMissing, match="holds no weights"):
        estimate_torch(tmp_path / name, PictureLoad())
