from dataclasses import replace
from itertools import pairwise

from danzar.core.device import ProcessUse
from danzar.core.events import (
    JobEnded,
    JobSubmitted,
    LoadFinished,
    PreloadRequested,
    SnapshotsTaken,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
)
from danzar.core.instance import InstanceState
from danzar.core.model import Job
from danzar.core.pressure import PressureRules
from danzar.core.state import YieldRules
from danzar.units import GIB
from tests.core.worlds import gpu, host, make_scheduler, model

LEVELS = PressureRules(75, 70, 0, critical_pct=85, oom_pct=95, hold_s=1.0)
RULES = YieldRules(LEVELS, calm_s=10, move_interval_s=60)


class Card:
    """One 12 GiB card that obeys at once; a game comes and goes on it."""

    def __init__(self, *models, rules: YieldRules = RULES) -> None:
        self.scheduler = make_scheduler(*models, yields=rules, keep_alive_s=1e9)
        self.now_s = 100.0
        self.game_gib = 0.0
        self.held: dict[str, int] = {}
        self.moves: list[tuple[float, str, str, str]] = []
        self.sample()
        for m in models:
            self.obey(self.scheduler.handle(PreloadRequested(m.name), self.now_s))
        self.moves.clear()

    def snapshots(self):
        used = sum(self.held.values()) + round(self.game_gib * GIB)
        processes = (ProcessUse(77, "game.exe", round(self.game_gib * GIB)),)
        card = replace(gpu(0, 12 - used / GIB), processes=processes if self.game_gib else ())
        return (card, host(16))

    def sample(self) -> None:
        self.obey(self.scheduler.handle(SnapshotsTaken(self.snapshots()), self.now_s))
        self.obey(self.scheduler.handle(Tick(), self.now_s))

    def obey(self, effects) -> None:
        for effect in effects:
            match effect:
                case StartLoad(name, load_id, placed):
                    if placed.device_uuid != "cpu":
                        self.held[name] = placed.size_bytes
                    self.moves.append((self.now_s, "load", name, placed.reason))
                    done = LoadFinished(
                        name, load_id, ((placed.device_uuid, placed.size_bytes),), self.snapshots()
                    )
                    self.obey(self.scheduler.handle(done, self.now_s))
                case StartUnload(name, load_id, _, reason):
                    self.held.pop(name, None)
                    self.moves.append((self.now_s, "unload", name, reason))
                    done = UnloadFinished(name, load_id, self.snapshots())
                    self.obey(self.scheduler.handle(done, self.now_s))

    def run(self, seconds: float, game_gib: float) -> None:
        room = 12 - sum(self.held.values()) / GIB
        self.game_gib = min(game_gib, room)
        for _ in range(round(seconds)):
            self.now_s += 1
            # A game takes what it wants as soon as it is there.
            self.game_gib = min(game_gib, 12 - sum(self.held.values()) / GIB)
            self.sample()

    def moved(self, what: str) -> list[str]:
        return [name for _, kind, name, _ in self.moves if kind == what]


def three() -> tuple:
    return (
        model("chat", 4, protected=True),
        model("yolo", 1.5, purpose="vision"),
        model("clip", 1.5, purpose="vision"),
    )


def test_idle_models_leave_for_a_game_within_three_seconds_and_the_chat_model_stays():
    card = Card(*three())
    card.run(3, game_gib=6)
    assert sorted(card.moved("unload")) == ["clip", "yolo"]
    assert set(card.held) == {"chat"}
    assert card.game_gib == 6


def test_the_reason_names_the_program_that_grew_and_by_how_much():
    card = Card(*three())
    card.run(3, game_gib=6)
    reason = card.moves[0][3]
    assert "game.exe" in reason
    assert "grew by 5.0GB on cuda:0" in reason


def test_all_is_back_within_thirty_seconds_of_the_games_end():
    card = Card(*three())
    card.run(120, game_gib=6)
    ended_s = card.now_s
    card.run(30, game_gib=0)
    assert sorted(card.moved("load")) == ["clip", "yolo"]
    assert max(at_s for at_s, kind, *_ in card.moves if kind == "load") - ended_s <= 30


def test_while_the_game_runs_nothing_comes_back_that_would_fill_the_card_again():
    card = Card(*three())
    card.run(600, game_gib=6)
    assert card.moved("load") == []


def test_a_flapping_program_moves_each_model_at_most_once_a_minute():
    card = Card(*three())
    for _ in range(60):
        card.run(5, game_gib=6)
        card.run(12, game_gib=0)
    for name in ("yolo", "clip"):
        times = [at_s for at_s, _, who, _ in card.moves if who == name]
        assert times, "nothing moved at all"
        assert all(b - a >= 60 for a, b in pairwise(times))


def test_a_request_during_the_game_does_not_fill_the_card_again():
    card = Card(*three())
    card.run(60, game_gib=5)
    card.obey(card.scheduler.handle(JobSubmitted(Job(1, "yolo", card.now_s)), card.now_s))
    assert card.scheduler.instances["yolo"].device_uuid == "cpu"
    assert "cuda:0 has room for" in (card.scheduler.instances["yolo"].degraded or "")


def test_a_busy_model_finishes_before_it_leaves_and_only_when_the_card_is_critical():
    card = Card(*three())
    card.obey(card.scheduler.handle(JobSubmitted(Job(1, "yolo", card.now_s)), card.now_s))
    card.run(5, game_gib=6)
    assert card.moved("unload") == ["clip"]
    assert card.scheduler.instances["yolo"].state is InstanceState.DRAINING
    card.obey(card.scheduler.handle(JobEnded(1, "yolo", succeeded=True), card.now_s))
    assert card.moved("unload") == ["clip", "yolo"]


def test_leaving_is_never_put_off_however_lately_a_model_came_back():
    card = Card(*three())
    card.run(120, game_gib=6)
    card.run(20, game_gib=0)
    assert set(card.held) == {"chat", "yolo", "clip"}
    card.run(3, game_gib=6)
    assert set(card.held) == {"chat"}
    assert card.game_gib == 6


def test_a_program_that_comes_every_minute_finds_models_that_come_back_ever_more_rarely():
    card = Card(*three())
    for _ in range(30):
        card.run(20, game_gib=6)
        assert set(card.held) == {"chat"}
        card.run(40, game_gib=0)
    back = [at_s for at_s, what, name, _ in card.moves if (what, name) == ("load", "yolo")]
    assert 1 <= len(back) <= 5
    assert all(b - a >= 60 for a, b in pairwise(back))


def test_a_game_that_starts_while_a_model_loads_is_made_way_for():
    card = Card(*three())
    card.run(60, game_gib=0)
    card.obey(card.scheduler.handle(UnloadRequested("clip"), card.now_s))
    load = next(
        e
        for e in card.scheduler.handle(PreloadRequested("clip"), card.now_s)
        if isinstance(e, StartLoad)
    )
    card.game_gib = 5
    card.held["clip"] = load.placed.size_bytes
    taken = ((load.device_uuid, load.placed.size_bytes),)
    done = LoadFinished("clip", load.load_id, taken, card.snapshots())
    card.obey(card.scheduler.handle(done, card.now_s))
    card.run(3, game_gib=6)
    assert set(card.held) == {"chat"}


def test_an_unload_after_the_last_answer_keeps_its_reason():
    card = Card(*three())
    card.obey(card.scheduler.handle(JobSubmitted(Job(1, "yolo", card.now_s)), card.now_s))
    card.run(5, game_gib=6)
    card.obey(card.scheduler.handle(JobEnded(1, "yolo", succeeded=True), card.now_s))
    assert card.moves[-1][2] == "yolo"
    assert card.moves[-1][3].startswith("makes way for game.exe")


def test_what_danzar_filled_itself_is_no_reason_to_leave():
    card = Card(model("large", 10.5), model("small", 1))
    card.run(120, game_gib=0)
    assert card.moves == []


def test_a_short_spike_is_no_reason_to_leave():
    card = Card(*three(), rules=replace(RULES, levels=replace(LEVELS, hold_s=3.0)))
    card.run(2, game_gib=6)
    card.run(30, game_gib=0)
    assert card.moves == []


def test_the_lowest_priority_leaves_first():
    low, high = model("low", 3, priority=1), model("high", 3, priority=5)
    card = Card(high, low)
    card.run(3, game_gib=8)
    assert card.moved("unload") == ["low", "high"]


def test_pinned_models_stay():
    card = Card(model("pinned", 6, pinned=True))
    card.run(60, game_gib=6)
    assert card.moves == []
