"""The shipped CLIP still tells situations apart on maps that it never saw."""

import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def concepts(models_folder) -> list[dict]:
    return yaml.safe_load((models_folder / "clip-doom" / "concepts.yaml").read_text())["concepts"]


@pytest.fixture(scope="module")
def situations(concepts) -> list[str]:
    return [concept["name"] for concept in concepts if concept["situation"]]


@pytest.fixture(scope="module")
def clip(models_folder):
    open_clip = pytest.importorskip("open_clip")
    name = f"local-dir:{models_folder / 'clip-doom'}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


@pytest.fixture(scope="module")
def similarity(clip, situations, held_out_folder, held_out_frames):
    """Cosine of each held-out frame with each situation."""
    torch = pytest.importorskip("torch")
    model, preprocess, tokenizer = clip
    pictures = []
    for frame in held_out_frames:
        with Image.open(held_out_folder / frame["file"]) as picture:
            pictures.append(preprocess(picture.convert("RGB")))
    with torch.inference_mode():
        text = model.encode_text(tokenizer(situations), normalize=True)
        return model.encode_image(torch.stack(pictures), normalize=True) @ text.T


def test_zero_shot_beats_always_saying_the_commonest_situation(
    similarity, situations, held_out_frames
):
    right = [situations.index(frame["situation"]) for frame in held_out_frames]
    hits = sum(
        guess == truth for guess, truth in zip(similarity.argmax(1).tolist(), right, strict=True)
    )
    majority = max(right.count(n) for n in set(right))
    assert hits >= majority + 0.06 * len(right), f"{hits} of {len(right)}, majority {majority}"


def test_each_situation_fits_its_own_frames_better_than_others(
    similarity, situations, held_out_frames
):
    for n, name in enumerate(situations):
        scores = list(zip(similarity[:, n].tolist(), held_out_frames, strict=True))
        own = [score for score, frame in scores if frame["situation"] == name]
        others = [score for score, frame in scores if frame["situation"] != name]
        above = sum(a > b for a in own for b in others) / (len(own) * len(others))
        assert above > 0.5, name


@pytest.mark.parametrize("name", ["a menu", "the automap open"])
def test_menus_and_maps_are_recognised(name, similarity, situations, held_out_frames):
    guesses = [situations[n] for n in similarity.argmax(1).tolist()]
    of_it = [g for g, f in zip(guesses, held_out_frames, strict=True) if f["situation"] == name]
    assert of_it.count(name) >= 0.7 * len(of_it)


def test_situations_have_text_embeddings_that_differ(clip, situations):
    torch = pytest.importorskip("torch")
    model, _, tokenizer = clip
    with torch.inference_mode():
        text = model.encode_text(tokenizer(situations), normalize=True)
    cosine = text @ text.T - 2 * torch.eye(len(situations))
    assert cosine.isfinite().all()
    assert cosine.max() < 0.98
