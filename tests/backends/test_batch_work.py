"""What a batch takes is measured, and not blamed for what others do."""

import threading

import pytest
import torch

from danzar.backends.batch_work import LiveBytes, computing, measured_batch, timed_batch
from danzar.backends.clip import load as load_clip
from danzar.errors import BadInput
from danzar.workers.contract import CountTokens, LoadSpec, MeasureBatch, Picture, Rank

CPU = torch.device("cpu")


def test_the_peak_counts_what_lives_at_once():
    with LiveBytes() as live:
        first = torch.zeros(1000, dtype=torch.float32)
        second = first + 1
        del first
        third = second * 2
        del second, third
    assert live.peak_bytes == 8000


def test_a_view_takes_nothing():
    with LiveBytes() as live:
        whole = torch.zeros(1000, dtype=torch.float32)
        assert whole.view(10, 100)[3].sum() == 0
    assert live.peak_bytes < 4100


def test_a_batch_is_measured_by_computing_it():
    def compute():
        return torch.ones(8, 500).square().sum()

    work = measured_batch(compute, batch=8, pixels=500, device=CPU)
    assert (work.batch, work.pixels) == (8, 500)
    assert 32_000 <= work.activation_bytes <= 33_000
    assert work.seconds > 0


def test_what_two_models_took_together_is_nobodys():
    entered, done = threading.Event(), threading.Event()

    def other():
        with computing():
            entered.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    try:
        work = measured_batch(lambda: torch.ones(10), batch=1, pixels=10, device=CPU)
    finally:
        done.set()
        thread.join()
    assert (work.seconds, work.activation_bytes) == (None, None)
    _, alone = timed_batch(lambda: torch.ones(10), batch=1, pixels=10, device=CPU)
    assert alone.seconds is not None
    assert alone.activation_bytes is None, "each request is not followed tensor by tensor"


@pytest.mark.model
def test_a_model_computes_as_many_at_once_as_it_is_told_and_says_what_that_took(models):
    clip, _ = load_clip(LoadSpec("clip", "clip", str(models / "clip")))
    pictures = (Picture(8, 8, "rgb", bytes(192)),) * 5
    (answer,) = clip.run(Rank(pictures, ("a", "b"), at_once=2), bool)
    assert len(answer.pictures) == 5
    assert [work.batch for work in answer.work] == [2, 2, 1]
    (small,) = clip.run(MeasureBatch(1), bool)
    (large,) = clip.run(MeasureBatch(4), bool)
    assert small.work.activation_bytes < large.work.activation_bytes
    assert large.work.pixels == small.work.pixels > 0
    with pytest.raises(BadInput):
        list(clip.run(CountTokens(("x",)), bool))
