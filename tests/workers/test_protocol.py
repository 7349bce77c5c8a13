"""Messages survive the wire, and nothing that arrives can break the receiver."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar import errors
from danzar.workers import protocol
from danzar.workers.contract import (
    ChatMessage,
    Frame,
    Generate,
    Generated,
    LoadReport,
    LoadSpec,
    Picture,
    TextDelta,
)

TO_WORKER = [
    protocol.Load(1, LoadSpec("m", "echo", None, settings={"word_s": 0.5, "list": [1, "a"]})),
    protocol.Unload(2, "m"),
    protocol.Run(3, "m", Generate((ChatMessage("user", "hé"),), seed=7, stop=("x",))),
    protocol.Cancel(4),
    protocol.FrameTaken(5),
    protocol.Trim(6, aggressive=True),
    protocol.Shutdown(),
]
FROM_WORKER = [
    protocol.Ready(10, "echo"),
    protocol.Loaded(1, LoadReport(None, {"a": "b"})),
    protocol.LoadFailed(1, "ModelRefused", "no"),
    protocol.Unloaded(2),
    protocol.PartMessage(3, TextDelta("…")),
    protocol.PartMessage(3, Frame(Picture(1, 1, "rgb", b"\0\1\2"), 0.5, 0)),
    protocol.Done(3, Generated("stop", 1, 2), 0.25),
    protocol.Failed(3, "BadInput", "no"),
    protocol.Trimmed(4, 7, 100, 90, None, None),
    protocol.Heartbeat(1, protocol.Allocator(3, 4, 1, 0), (protocol.Busy(3, 9),), {"chat": 7}),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda m: type(m).__name__)
def test_what_the_bot_sends_arrives_unchanged(message):
    assert protocol.decode_to_worker(protocol.encode(message)) == message


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda m: type(m).__name__)
def test_what_a_worker_sends_arrives_unchanged(message):
    assert protocol.decode_from_worker(protocol.encode(message)) == message


@given(st.binary(max_size=200))
def test_random_bytes_are_no_message_and_no_error(data):
    assert protocol.decode_from_worker(data) is None
    assert protocol.decode_to_worker(data) is None


@given(st.sampled_from(FROM_WORKER), st.data())
def test_a_damaged_message_is_dropped_or_still_a_message(message, data):
    raw = bytearray(protocol.encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    decoded = protocol.decode_from_worker(bytes(raw))
    assert decoded is None or isinstance(decoded, msgspec.Struct)


def test_deep_nesting_does_not_break_the_decoder():
    assert protocol.decode_to_worker(b"\x91" * 100_000) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(errors.ModelRefused("cut"), errors.ModelRefused, id="a known kind is kept"),
        pytest.param(errors.BadPicture("torn"), errors.BadPicture, id="so is a narrower one"),
        pytest.param(MemoryError(), errors.OutOfMemory, id="Python's own memory error is ours"),
        pytest.param(
            RuntimeError("CUDA error: out of memory"), errors.OutOfMemory, id="so is the driver's"
        ),
        pytest.param(
            errors.BackendFailed("CUBLAS_STATUS_ALLOC_FAILED"),
            errors.OutOfMemory,
            id="and cuBLAS's",
        ),
        pytest.param(ValueError("x"), errors.BackendFailed, id="anything else is the backend's"),
        pytest.param(errors.QueueFull("x"), errors.BackendFailed, id="so is what no backend says"),
    ],
)
def test_errors_cross_the_boundary_as_their_own_kind(error, expected):
    kind, message = protocol.describe_failure(error)
    rebuilt = protocol.to_error(kind, message)
    assert type(rebuilt) is expected
    assert str(error) in str(rebuilt)
