"""How a worker's end is told: the cause, one telling line, and memory exhaustion by its name."""

import pytest

from danzar import errors
from danzar.workers.outcomes import WorkerExit, describe_code, exit_error, quote_output, ran_out


def end(output="", hung=False):
    return WorkerExit(-6, "was killed by SIGABRT", hung, expected=False, output=output)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-9, "was killed by SIGKILL"),
        (-99, "was killed by signal 99"),
        (None, "ended"),
    ],
)
def test_an_exit_status_is_told_in_words(code, text):
    assert describe_code(code) == text


@pytest.mark.parametrize(
    "output",
    [
        "ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory",
        "CUDA error: out of memory\n  current device: 0",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ],
)
def test_a_death_for_want_of_memory_is_out_of_memory(output):
    assert type(exit_error("llama", end(output))) is errors.OutOfMemory


def test_any_other_death_is_a_death_and_silence_is_a_hang():
    assert type(exit_error("llama", end("GGML_ASSERT(x) failed"))) is errors.WorkerDied
    assert type(exit_error("llama", end("out of memory", hung=True))) is errors.WorkerHung


def test_the_line_that_tells_most_is_quoted_and_the_stack_is_not():
    output = 'Fatal Python error: Aborted\n\nThread 0x7 failed?\n  File "memory.py", line 3\nlast\n'
    assert quote_output(output) == " It said: Fatal Python error: Aborted"
    assert quote_output("CUDA error: x\n" + output) == " It said: CUDA error: x"
    assert quote_output("one\ntwo\n") == " It said: two"
    assert quote_output("  \n") == ""
    assert len(quote_output("error " * 1000)) < 400


def test_what_was_said_long_before_the_end_and_survived_is_not_its_cause():
    early = "alloc failed: out of memory\n" + "all is well again\n" * 1000
    assert type(exit_error("torch", end(early + "GGML_ASSERT(x) failed"))) is errors.WorkerDied


def test_an_end_that_was_asked_for_is_no_want_of_memory():
    asked = WorkerExit(-15, "was killed by SIGTERM", False, expected=True, output="out of memory")
    assert not ran_out(asked)
