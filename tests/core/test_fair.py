"""The order of waiting: what is promised, on made-up and on generated crowds."""

import heapq
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danzar.core.asker import Asker, RequestClass
from danzar.core.fair import FairQueue
from danzar.core.queue import default_bounds_s
from danzar.core.turns import DUE_SHARE

CHAT, VISION, PICTURE, WATCH, JOB = RequestClass
BOUNDS_S = default_bounds_s()


def queue(*rows, bounds_s=BOUNDS_S):
    """Rows of (item, class, person, asked_s)."""
    made = FairQueue(bounds_s)
    for item, kind, person, asked_s in rows:
        made.add(item, Asker(kind, person), asked_s)
    return made


def served(made, now_s=0.0):
    return [made.pop(now_s) for _ in range(len(made))]


def test_one_persons_requests_of_one_class_are_first_come_first_served():
    made = queue(*((n, CHAT, "ann", 0.1 * n) for n in range(5)))

    assert served(made, 1.0) == [0, 1, 2, 3, 4]


def test_thirty_requests_of_one_person_delay_anothers_first_by_one():
    flood = [(f"ann {n}", CHAT, "ann", 0.0) for n in range(30)]
    made = queue(*flood)
    assert made.pop(1.0) == "ann 0"
    made.add("bob", Asker(CHAT, "bob"), 2.0)

    assert made.pop(5.0) == "ann 1"
    assert made.pop(9.0) == "bob"


def test_the_urgent_class_goes_first_until_the_patient_one_has_waited_long_enough():
    rows = [("watch", WATCH, "ann", 0.0), ("chat", CHAT, "bob", 20.0)]
    assert served(queue(*rows), 21.0) == ["chat", "watch"]

    aged = [("watch", WATCH, "ann", 0.0), ("chat", CHAT, "bob", 61.0)]
    assert served(queue(*aged), 62.0) == ["watch", "chat"]


def test_classes_that_have_waited_half_their_bound_take_turns_whatever_stands_behind_them():
    chats = [(f"chat {n}", CHAT, f"person {n}", 0.0) for n in range(4)]
    watches = [(f"watch {n}", WATCH, f"owner {n}", 0.0) for n in range(2)]
    made = queue(*chats, *watches)
    assert made.pop(40.0) == "chat 0"

    assert served(made, 50.0) == ["watch 0", "chat 1", "watch 1", "chat 2", "chat 3"]


def test_several_that_are_served_at_one_moment_are_of_several_people():
    flood = [(f"ann {n}", CHAT, "ann", 1.0) for n in range(3)]
    made = queue(*flood, ("bob", CHAT, "bob", 1.0))

    assert [made.pop(1.0), made.pop(1.0)] == ["ann 0", "bob"]


def test_the_preview_is_the_order_in_which_they_are_served():
    made = queue(
        ("a", JOB, None, 0.0),
        ("b", CHAT, "x", 3.0),
        ("c", CHAT, "x", 4.0),
        ("d", VISION, "y", 1.0),
        ("e", WATCH, "z", 0.5),
    )
    told = made.ordered(5.0)

    assert len(made) == 5
    assert told == served(made, 5.0)


def test_one_that_is_taken_back_is_not_served_and_gains_the_next_one_nothing():
    made = queue(("a", CHAT, "ann", 0.0), ("b", CHAT, "bob", 1.0))
    first = "ann again"
    made.add(first, Asker(CHAT, "ann"), 2.0)

    assert made.remove("a")
    assert not made.remove("a")
    assert served(made, 3.0) == ["b", first]


@pytest.mark.parametrize(
    ("waiting", "asker", "expected"),
    [
        pytest.param({"ann": 3, "bob": 1}, "cy", "ann 2", id="the last of who has the most"),
        pytest.param({"ann": 1, "bob": 1}, "cy", None, id="no one who has no more than the new"),
        pytest.param({"ann": 2}, "cy", "ann 1", id="two against none"),
        pytest.param({"ann": 2, "bob": 1}, "bob", None, id="two against two would be"),
        pytest.param({"ann": 3}, "ann", None, id="oneself"),
    ],
)
def test_who_gives_up_a_place_in_a_full_queue(waiting, asker, expected):
    rows = [(f"{p} {n}", CHAT, p, 0.0) for p, count in waiting.items() for n in range(count)]

    assert queue(*rows).displaced_by(Asker(CHAT, asker)) == expected


def test_an_identity_is_in_no_repr():
    assert "4711" not in repr(Asker(CHAT, "4711"))


# --- generated crowds ----------------------------------------------------------------------------

LONGEST_S = 2.0
# Short ones, so that the promise is broken by a few requests in the wrong order.
SHORT_S = {CHAT: 3.0, VISION: 4.0, PICTURE: 6.0, WATCH: 9.0, JOB: 20.0}


@dataclass(frozen=True)
class Ask:
    number: int
    at_s: float
    asker: Asker
    seconds: float


@dataclass
class Server:
    """Serves with some slots, never idle while someone waits; notes what the proof needs."""

    slots: int
    queue: FairQueue = field(default_factory=lambda: FairQueue(SHORT_S))
    running: list = field(default_factory=list)
    waiting: list = field(default_factory=list)
    started_s: dict = field(default_factory=dict)
    others: dict = field(default_factory=dict)

    def run(self, asks):
        for ask in asks:
            self.until(ask.at_s)
            mine = [x for x in self.waiting if x.asker.kind is ask.asker.kind]
            if not any(x.asker == ask.asker for x in mine):
                self.others[ask.number] = len({x.asker.person for x in mine})
            self.queue.add(ask, ask.asker, ask.at_s)
            self.waiting.append(ask)
            self.fill(ask.at_s)
        self.until(math.inf)

    def until(self, end_s):
        while self.running and self.running[0] <= end_s:
            now_s = heapq.heappop(self.running)
            self.fill(now_s)

    def fill(self, now_s):
        while len(self.running) < self.slots and len(self.queue):
            ask = self.queue.pop(now_s)
            self.waiting.remove(ask)
            self.started_s[ask.number] = now_s
            heapq.heappush(self.running, now_s + ask.seconds)


@st.composite
def crowds(draw):
    count = draw(st.integers(1, 90))
    at_s, asks = 0.0, []
    for number in range(count):
        at_s += draw(st.sampled_from([0.0, 0.0, 0.1, 1.0, 4.0]))
        kind = draw(st.sampled_from([CHAT, CHAT, CHAT, CHAT, VISION, PICTURE, WATCH, JOB]))
        asker = Asker(kind, draw(st.sampled_from(["a", "a", "a", "b", "c", None])))
        asks.append(Ask(number, at_s, asker, draw(st.sampled_from([0.5, LONGEST_S, LONGEST_S]))))
    return asks


@settings(max_examples=60)
@given(crowds(), st.integers(1, 4))
def test_a_persons_first_request_starts_within_what_is_promised_whatever_else_comes(asks, slots):
    server = Server(slots)
    server.run(asks)

    for number, others in server.others.items():
        ask = asks[number]
        rounds = math.ceil((others + 1) * len(RequestClass) / slots)
        promised_s = DUE_SHARE * SHORT_S[ask.asker.kind] + rounds * LONGEST_S
        assert server.started_s[number] - ask.at_s <= promised_s + 1e-9


@settings(max_examples=30)
@given(crowds(), st.integers(1, 4))
def test_everyone_is_served_once_and_nobody_overtakes_himself(asks, slots):
    server = Server(slots)
    server.run(asks)

    assert sorted(server.started_s) == list(range(len(asks)))
    for asker in {ask.asker for ask in asks}:
        own = [server.started_s[ask.number] for ask in asks if ask.asker == asker]
        assert own == sorted(own)


@settings(max_examples=30)
@given(crowds(), st.floats(0, 500))
def test_the_same_crowd_always_has_the_same_order(asks, now_s):
    one, other = FairQueue(BOUNDS_S), FairQueue(BOUNDS_S)
    for ask in asks:
        one.add(ask.number, ask.asker, ask.at_s)
        other.add(ask.number, ask.asker, ask.at_s)

    assert one.ordered(now_s) == served(one, now_s) == served(other, now_s)
