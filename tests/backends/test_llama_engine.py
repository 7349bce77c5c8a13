"""Several conversations on the real chat model, without a worker around it."""

import queue
import threading
from contextlib import contextmanager
from difflib import SequenceMatcher

import pytest

from danzar.backends.llama import load
from danzar.errors import BackendFailed, BadInput
from danzar.workers.contract import ChatMessage, Generate, Generated, LoadSpec, TextDelta

pytestmark = pytest.mark.model

SYSTEM = ChatMessage("system", "You are Danzar, a helpful assistant. Answer briefly, in one line.")
QUESTIONS = (
    "Name a colour.",
    "Tell me a story about a dragon and a knight who met in a forest.",
    "What is 2 and 2?",
    "Write a list of animals.",
)


@contextmanager
def opened(gguf, slots, **settings):
    settings = {"n_ctx": 512, "n_threads": 1} | settings
    backend, report = load(LoadSpec("chat", "llama", gguf, slots=slots, settings=settings))
    try:
        yield backend, report
    finally:
        backend.close()


@pytest.fixture(scope="module")
def four(gguf):
    with opened(gguf, 4, prompt_cache="64 MiB") as (backend, _):
        yield backend


def request(*contents, key=None, most=16, **options):
    roles = ("user", "assistant") * len(contents)
    turns = tuple(ChatMessage(role, text) for role, text in zip(roles, contents, strict=False))
    options = {"temperature": 0.0} | options
    return Generate((SYSTEM, *turns), most, conversation=key, **options)


def answer(backend, asked, is_cancelled=lambda: False):
    *pieces, result = backend.run(asked, is_cancelled)
    return "".join(piece.text for piece in pieces), result


class Asker:
    """Asks in a thread of its own, as a worker does."""

    def __init__(self, backend, asked):
        self.stopped = False
        self.items = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._live, args=(backend, asked))
        self.thread.start()

    def _live(self, backend, asked):
        try:
            for item in backend.run(asked, lambda: self.stopped):
                self.items.put(item)
        except Exception as exc:  # noqa: BLE001 - handed to the test
            self.items.put(exc)

    def next(self):
        return self.items.get(timeout=60)

    def rest(self):
        text = ""
        while isinstance(item := self.next(), TextDelta):
            text += item.text
        self.thread.join(60)
        return text, item


def test_each_of_several_at_once_gets_the_answer_to_its_own_question(gguf, four):
    asked = [request(text, key=f"together {n}") for n, text in enumerate(QUESTIONS)]
    together = [asker.rest() for asker in [Asker(four, each) for each in asked]]
    with opened(gguf, 1) as (backend, _):
        alone = [answer(backend, each)[0] for each in asked]
    for n, (text, result) in enumerate(together):
        assert isinstance(result, Generated)
        assert result.completion_tokens > 0
        assert most_like(text, alone) == n


def most_like(text, others):
    """Which of them it is. Who computes along changes the last digits of every number, so that of
    two words that are as likely another one may come.
    """
    return max(range(len(others)), key=lambda n: SequenceMatcher(None, text, others[n]).ratio())


def test_more_requests_than_seats_wait_and_are_all_answered(gguf):
    with opened(gguf, 2) as (backend, _):
        askers = [Asker(backend, request(text, most=8)) for text in QUESTIONS]
        assert all(asker.rest()[1].completion_tokens > 0 for asker in askers)


def test_cancelling_one_leaves_the_others(four):
    expected, _ = answer(four, request(QUESTIONS[1], most=40, key="kept"))
    kept = Asker(four, request(QUESTIONS[1], most=40, key="kept 2"))
    given_up = Asker(four, request(QUESTIONS[3], most=400, key="given up"))
    assert isinstance(given_up.next(), TextDelta)
    given_up.stopped = True
    _, result = given_up.rest()
    assert result.finish_reason == "cancelled"
    assert result.completion_tokens < 400
    assert kept.rest()[0] == expected


def test_the_next_turn_computes_only_what_is_new(four):
    text, first = answer(four, request(QUESTIONS[1], key="talk"))
    _, second = answer(four, request(QUESTIONS[1], text, "Go on.", key="talk"))
    # The last word of an answer is chosen, but never computed.
    assert second.reused_tokens >= first.prompt_tokens + first.completion_tokens - 1
    assert second.prompt_tokens - second.reused_tokens < 20


def test_a_conversation_that_made_way_comes_back_from_host_ram_as_it_was(gguf):
    turn = (QUESTIONS[1], "A dragon met a knight.", "Go on.")
    with opened(gguf, 1, prompt_cache="64 MiB") as (backend, _):
        _, first = answer(backend, request(QUESTIONS[1], key="mine"))
        answer(backend, request(QUESTIONS[0], key="another"))
        text, back = answer(backend, request(*turn, key="mine"))
    with opened(gguf, 1) as (fresh, _):
        expected, known = answer(fresh, request(*turn, key="mine"))
    assert back.reused_tokens >= first.prompt_tokens
    assert known.reused_tokens == 0
    assert text == expected


def test_who_makes_way_does_not_push_out_who_comes_back(gguf):
    with opened(gguf, 1, prompt_cache="2 MiB") as (backend, _):
        _, first = answer(backend, request(QUESTIONS[1], key="mine"))
        answer(backend, request(QUESTIONS[3] * 4, key="another"))
        _, back = answer(backend, request(QUESTIONS[1], key="mine"))
        assert len(backend._engine._memory.store) == 1
    assert back.reused_tokens == first.prompt_tokens - 1


def test_without_room_in_host_ram_only_the_common_beginning_is_known(gguf):
    with opened(gguf, 1) as (backend, _):
        _, first = answer(backend, request(QUESTIONS[1], key="mine"))
        answer(backend, request(QUESTIONS[0], key="another"))
        _, back = answer(backend, request(QUESTIONS[1], key="mine"))
    assert 0 < back.reused_tokens < first.prompt_tokens - 5


def test_a_new_conversation_knows_what_it_shares_with_one_that_is_being_answered(four):
    long = request("Write a list of animals. " * 12, key="long", most=60)
    running = Asker(four, long)
    running.next()
    _, result = answer(four, request("Write a list of animals. " * 12 + "Or not.", key="new"))
    assert result.reused_tokens > 60
    running.stopped = True
    running.rest()


def test_the_store_stays_within_its_bytes(gguf):
    limit_bytes = 4 * 1024**2
    with opened(gguf, 1, prompt_cache=limit_bytes) as (backend, _):
        for number in range(8):
            answer(backend, request(f"{number} " * (10 + 5 * number), key=f"{number}", most=2))
            store = backend._engine._memory.store
            assert store.size_bytes == backend.cached_bytes <= limit_bytes
        assert 0 < len(store) < 7


def test_the_same_seed_gives_the_same_text_also_beside_others(four):
    asked = request("Invent a name.", temperature=1.5, seed=7)
    alone, _ = answer(four, asked)
    other = Asker(four, request(QUESTIONS[3], most=40))
    beside, _ = answer(four, asked)
    other.rest()
    assert alone == beside


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seed": -1}, "seed is -1; it must be from 0"),
        ({"seed": 1 << 40}, "seed is 1099511627776; it must be"),
        ({"temperature": -0.5}, "temperature is -0.5; it must be from 0 to 100"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 1.5}, "top_p is 1.5; it must be from 0 to 1"),
        ({"repeat_penalty": 0.0}, "repeat_penalty is 0"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(four, options, match):
    with pytest.raises(BadInput, match=match):
        answer(four, request("hi", **options))


def test_a_model_that_is_unloaded_tells_whoever_still_waits(gguf):
    with opened(gguf, 1) as (backend, _):
        asker = Asker(backend, request(QUESTIONS[3], most=400, temperature=1.0))
        asker.next()
    _, end = asker.rest()
    assert isinstance(end, BackendFailed)


def test_a_load_says_how_many_it_answers_at_once(gguf):
    with opened(gguf, 3, prompt_cache="64 MiB", n_ctx=256) as (_, report):
        assert report.details["conversations"] == "3 at once, 64.0 MiB for others"
        assert report.details["context"] == "256 tokens"
