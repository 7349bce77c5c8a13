"""A model as a piece of host RAM, and back: byte for byte, and shared tensors shared again."""

import contextlib
import hashlib
import pickle

import msgspec
import pytest

torch = pytest.importorskip("torch")

from danzar.backends import warm_weights  # noqa: E402 - after torch
from danzar.errors import BackendFailed  # noqa: E402
from danzar.units import MIB  # noqa: E402
from danzar.workers.contract import WarmCopy  # noqa: E402
from danzar.workers.segment import SUPPORTED, Segment  # noqa: E402

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="this system has no segments")
CPU = torch.device("cpu")


class Net(torch.nn.Module):
    """Whatever a model may have: shared weights, buffers, odd strides, plain tensors, settings."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(10, 4)
        self.head = torch.nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.conv = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
        self.register_buffer("steps", torch.arange(5, dtype=torch.int64))
        self.register_buffer("empty", torch.zeros(0))
        self.scale = torch.tensor(2.5, dtype=torch.float16)
        self.flipped = torch.arange(12.0).view(3, 4).T
        self.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
        self.names = {0: "boss", 1: "player"}


@contextlib.contextmanager
def held(model, limit_bytes=64 * MIB):
    """A copy of the model, held as the bot holds it."""
    segment = Segment()
    try:
        copy = warm_weights.freeze(model, segment.address, limit_bytes)
        segment.hold(copy.size_bytes)
        yield copy
    finally:
        segment.close()


def test_a_model_comes_back_as_it_was():
    net = Net()
    with held(net) as copy:
        back = warm_weights.thaw(copy, CPU)

    for name, tensor in net.state_dict().items():
        other = back.state_dict()[name]
        assert torch.equal(tensor, other), name
        assert (tensor.dtype, tensor.stride()) == (other.dtype, other.stride())
    assert torch.equal(back.flipped, net.flipped)
    assert back.scale == net.scale
    assert back.names == net.names
    picture = torch.rand(1, 3, 8, 8)
    assert torch.equal(back.conv(picture), net.conv(picture))


def test_shared_weights_are_shared_again_and_frozen_ones_stay_frozen():
    with held(Net()) as copy:
        back = warm_weights.thaw(copy, CPU)

    assert back.head.weight is back.embed.weight
    assert isinstance(back.conv.weight, torch.nn.Parameter)
    assert back.conv.weight.requires_grad
    assert not back.frozen.requires_grad


def test_a_model_on_the_cpu_works_on_the_copy_itself_and_outlives_the_bots_hold():
    segment = Segment()
    copy = warm_weights.freeze(Net(), segment.address, 64 * MIB)
    segment.hold(copy.size_bytes)
    first, second = (warm_weights.thaw(copy, CPU) for _ in range(2))
    storages = {p.untyped_storage().data_ptr() for p in first.parameters()}
    assert len(storages) == 1  # one piece of memory, not one for each tensor

    segment.close()
    with torch.no_grad():
        first.embed.weight.zero_()

    assert first.embed.weight.abs().sum() == 0
    assert second.embed.weight.abs().sum() > 0  # what one writes, the other does not see


def test_a_copy_with_another_seal_is_refused_before_anything_of_it_is_opened():
    with held(Net()) as copy:
        other = msgspec.structs.replace(copy, seal=hashlib.sha256(b"another").hexdigest())
        with pytest.raises(BackendFailed, match="is not the one that was kept"):
            warm_weights.thaw(other, CPU)


def test_a_copy_that_is_gone_is_not_used(capsys):
    with held(Net()) as copy:
        pass

    assert warm_weights.thaw_or_none(copy, CPU) is None
    assert "the warm copy is not used" in capsys.readouterr().err


def test_memory_that_holds_something_else_is_no_copy():
    segment = Segment()
    try:
        from danzar.workers.segment import create

        create(segment.address, 4096)[:4] = b"\x7fELF"
        with pytest.raises(BackendFailed, match="there is no warm copy"):
            warm_weights.thaw(WarmCopy(segment.address, 4096, "0"), CPU)
    finally:
        segment.close()


def test_a_copy_larger_than_was_booked_is_not_made():
    with pytest.raises(BackendFailed, match="4096 were booked"), held(Net(), limit_bytes=4096):
        pass


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(lambda: 1, id="a local function"),
        pytest.param(torch.eye(3).to_sparse(), id="a sparse tensor"),
        pytest.param((torch.ones(2, requires_grad=True) * 2), id="a tensor with a history"),
    ],
)
def test_what_can_not_be_kept_says_so(part):
    net = Net()
    net.part = part
    with pytest.raises(BackendFailed, match="can't be kept"), held(net):
        pass


def test_the_skeleton_holds_no_weights():
    net = torch.nn.Linear(1000, 1000)
    with held(net) as copy:
        assert copy.size_bytes < 1000 * 1001 * 4 + 16 * 1024
        assert copy.size_bytes < len(pickle.dumps(net)) + 16 * 1024
