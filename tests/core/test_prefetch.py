"""Loads ahead: into spare room only, never in anybody's way, and accounted for."""

from dataclasses import replace
from random import Random

import pytest

from danzar.core.events import (
    CancelLoad,
    Decided,
    HintGiven,
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFailure,
    LoadFinished,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
)
from danzar.core.instance import InstanceState
from danzar.core.model import Job
from danzar.core.placement import plan_placement
from danzar.core.plan import PlacedOn, PlanRules
from danzar.core.prediction import PredictionRules
from danzar.core.prediction_hints import HintKind
from danzar.core.scheduler import Scheduler
from danzar.units import GIB, MIB
from tests.core.hostile import CARDS, NAMES, World
from tests.core.worlds import book, gpu, host, make_scheduler, model, reserve

CARD = (gpu(0), host())
TWO_CARDS = (gpu(0), gpu(1), host())
RULES = PredictionRules(enabled=True, cushion_bytes=512 * MIB)


def scheduler_of(*models, cards=CARD, rules=RULES, **more) -> Scheduler:
    scheduler = make_scheduler(*models, **more)
    scheduler.set_rules(replace(scheduler.state.rules, prediction=rules))
    scheduler.handle(SnapshotsTaken(cards), 0.0)
    return scheduler


def of(kind, effects):
    return [e for e in effects if isinstance(e, kind)]


def hinted(scheduler, name, now_s=1.0, kind=HintKind.WATCH):
    """What follows a hint that is as good as a request."""
    scheduler.handle(HintGiven(name, kind), now_s)
    return scheduler.look_ahead(now_s)


def ahead(scheduler, name="chat", now_s=1.0, cards=CARD):
    """Load a model ahead, to its end."""
    (load,) = of(StartLoad, hinted(scheduler, name, now_s))
    scheduler.handle(LoadFinished(name, load.load_id, (), cards, 2.0), now_s + 2)
    return load


def ask(scheduler, name, now_s, job_id=1):
    return scheduler.handle(JobSubmitted(Job(job_id, name, now_s)), now_s)


def test_a_hint_loads_the_model_and_the_decision_says_why_and_can_be_replayed():
    scheduler = scheduler_of(model("chat"))
    effects = hinted(scheduler, "chat", kind=HintKind.UPLOAD)
    (decided,) = of(Decided, effects)
    (load,) = of(StartLoad, effects)
    assert "an upload has begun" in decided.plan.reason
    assert "a load takes" in decided.plan.reason
    assert "12.0GB of headroom" not in decided.plan.reason, "the cushion is not spare"
    assert load.placed.reason == decided.plan.reason
    assert plan_placement(decided.inputs) == decided.plan


def test_switched_off_it_does_nothing_and_lets_go_what_was_there():
    scheduler = scheduler_of(model("chat"))
    ahead(scheduler)
    scheduler.set_rules(replace(scheduler.state.rules, prediction=PredictionRules(enabled=False)))
    assert of(StartUnload, scheduler.look_ahead(5.0))
    other = scheduler_of(model("chat"), rules=PredictionRules(enabled=False))
    assert hinted(other, "chat") == []


def test_nothing_is_evicted_for_it():
    scheduler = scheduler_of(model("a", 8), model("b", 8))
    (load,) = of(StartLoad, ask(scheduler, "a", 1.0))
    full = (gpu(0, 4), host())
    scheduler.handle(LoadFinished("a", load.load_id, (), full, 2.0), 3.0)
    assert hinted(scheduler, "b", 5.0) == []


def test_reservations_and_the_cushion_stay_free():
    kept = scheduler_of(model("v", 5, purpose="vision"), ledger=book(reserve("GPU-0", 8)))
    assert hinted(kept, "v") == []
    tight = scheduler_of(model("a", 11.8, allow_cpu=False))
    assert hinted(tight, "a") == []
    assert of(StartLoad, ask(tight, "a", 2.0)), "somebody who asks gets it"


def test_it_is_never_worse_than_configured():
    scheduler = scheduler_of(model("a", 14, 6))
    assert hinted(scheduler, "a") == []


def test_a_request_finds_it_and_it_counts_as_a_hit():
    scheduler = scheduler_of(model("chat"))
    ahead(scheduler)
    assert of(StartJob, ask(scheduler, "chat", 9.0))
    counts = scheduler.state.prefetches.total()
    assert (counts.loads, counts.hits, counts.wasted, counts.misses) == (1, 1, 0, 0)
    assert counts.saved_s > 0


def test_a_request_while_it_loads_takes_it_over():
    scheduler = scheduler_of(model("chat"))
    (load,) = of(StartLoad, hinted(scheduler, "chat"))
    assert of(StartLoad, ask(scheduler, "chat", 1.5)) == []
    assert scheduler.look_ahead(1.5) == []
    done = scheduler.handle(LoadFinished("chat", load.load_id, (), CARD, 2.0), 3.0)
    assert of(StartJob, done)
    assert scheduler.state.prefetches.total().hits == 1


def test_a_requested_load_that_nothing_foresaw_is_a_miss():
    scheduler = scheduler_of(model("chat"))
    ask(scheduler, "chat", 1.0)
    assert scheduler.state.prefetches.of("chat").misses == 1


def test_a_request_for_another_model_cancels_it_and_does_not_wait_for_it():
    scheduler = scheduler_of(model("a", 4), model("b", 4))
    (first,) = of(StartLoad, hinted(scheduler, "a"))
    assert of(StartLoad, ask(scheduler, "b", 1.2)), "at once, not after the cancelling"
    (cancel,) = of(CancelLoad, scheduler.look_ahead(1.2))
    assert (cancel.model, cancel.load_id) == ("a", first.load_id)
    assert "b was asked for" in cancel.reason
    late = LoadFinished("a", first.load_id, (), CARD, 2.0)
    assert scheduler.handle(late, 1.3) == []
    assert scheduler.instances["a"].state is InstanceState.UNLOADING
    scheduler.handle(UnloadFinished("a", first.load_id, CARD), 1.5)
    assert scheduler.instances["a"].state is InstanceState.COLD
    counts = scheduler.state.prefetches.of("a")
    assert (counts.wasted, counts.cancelled) == (1, 1)
    assert counts.wasted_bytes < 4 * GIB


def test_models_that_are_asked_in_one_breath_are_not_cancelled_for_each_other():
    scheduler = scheduler_of(model("yolo", 1), model("clip", 2))
    hinted(scheduler, "yolo")
    ask(scheduler, "clip", 1.2, job_id=1)
    ask(scheduler, "yolo", 1.2, job_id=2)
    assert of(CancelLoad, scheduler.look_ahead(1.2)) == []


def test_none_begins_while_something_that_was_asked_for_loads():
    scheduler = scheduler_of(model("a", 2), model("b", 2))
    ask(scheduler, "a", 1.0)
    assert hinted(scheduler, "b", 1.1) == []


def test_it_does_not_begin_where_it_would_change_the_plan_of_another_model():
    scheduler = scheduler_of(model("a", 6), model("b", 8))
    assert hinted(scheduler, "a") == [], "b would have to evict it, or go to the CPU"


def test_it_makes_room_again_before_anybody_asks():
    scheduler = scheduler_of(model("a", 3), model("b", 5), model("c", 4.5))
    ahead(scheduler, "a")
    (load,) = of(StartLoad, ask(scheduler, "b", 5.0))
    (unload,) = of(StartUnload, scheduler.look_ahead(5.0))
    assert unload.model == "a"
    assert "makes room again for c" in unload.reason
    scheduler.handle(LoadFinished("b", load.load_id, (), CARD), 8.0)
    scheduler.handle(UnloadFinished("a", unload.load_id, CARD), 8.0)


def test_until_it_is_used_it_is_the_first_to_go_whatever_it_is():
    scheduler = scheduler_of(
        model("chat", 5, protected=True, priority=9),
        model("b", 5),
        plan=PlanRules("priority", min_residence_s=60),
    )
    ahead(scheduler)
    resident = next(r for r in scheduler.residents(5.0) if r.model == "chat")
    assert resident.prefetched
    assert not resident.protected
    assert resident.cost_s == 0.0
    ask(scheduler, "chat", 6.0)
    used = next(r for r in scheduler.residents(7.0) if r.model == "chat")
    assert used.protected
    assert not used.prefetched


def growing(scheduler, now_s, gib):
    """Other programs hold so much beside what the ledger knows."""
    held = sum(x.size_bytes for x in scheduler.ledger.leases_on("GPU-0")) / GIB
    cards = (gpu(0, 12 - held - gib), host())
    scheduler.handle(SnapshotsTaken(cards), now_s)
    scheduler.handle(SnapshotsTaken(cards), now_s + 1)
    return scheduler.look_ahead(now_s + 1)


def test_it_leaves_when_other_programs_grow_and_none_begins_meanwhile():
    scheduler = scheduler_of(model("chat", 3), model("b", 2))
    ahead(scheduler, cards=(gpu(0, 9), host()))
    assert of(StartUnload, growing(scheduler, 10.0, gib=0)) == []
    (unload,) = of(StartUnload, growing(scheduler, 20.0, gib=2))
    assert "other programs" in unload.reason
    assert hinted(scheduler, "b", 22.0) == []


def test_it_is_given_up_when_its_time_has_passed():
    scheduler = scheduler_of(model("chat", 3))
    ahead(scheduler)
    assert scheduler.look_ahead(50.0) == []
    (unload,) = of(StartUnload, scheduler.look_ahead(2000.0))
    assert "nobody asked for it" in unload.reason
    counts = scheduler.state.prefetches.of("chat")
    assert (counts.wasted, counts.cancelled, counts.wasted_bytes) == (1, 0, 3 * GIB)


def test_idleness_is_not_what_ends_it():
    scheduler = scheduler_of(model("chat", 3), keep_alive_s=10)
    ahead(scheduler)
    assert of(StartUnload, scheduler.handle(Tick(), 60.0)) == []


def test_an_idle_model_that_is_expected_stays_and_goes_first():
    scheduler = scheduler_of(model("chat", 3), keep_alive_s=10)
    ahead(scheduler)
    ask(scheduler, "chat", 5.0)
    scheduler.handle(JobEnded(1, "chat", succeeded=True), 6.0)
    scheduler.handle(HintGiven("chat", HintKind.VOICE), 15.0)
    assert of(StartUnload, scheduler.handle(Tick(), 20.0)) == []
    counts = scheduler.state.prefetches.of("chat")
    assert (counts.kept, counts.loads) == (1, 1)
    assert scheduler.residents(20.0)[0].prefetched
    ask(scheduler, "chat", 30.0, job_id=2)
    assert scheduler.state.prefetches.of("chat").kept_hits == 1


def test_a_load_ahead_that_fails_does_not_make_a_request_fail():
    scheduler = scheduler_of(model("chat", 3))
    (load,) = of(StartLoad, hinted(scheduler, "chat"))
    failed = LoadFailed("chat", load.load_id, "broken file", LoadFailure.ERROR, CARD)
    scheduler.handle(failed, 2.0)
    scheduler.look_ahead(2.0)
    assert of(StartLoad, ask(scheduler, "chat", 2.1))
    other = scheduler_of(model("chat", 3))
    (load,) = of(StartLoad, hinted(other, "chat"))
    other.handle(replace(failed, load_id=load.load_id), 2.0)
    assert hinted(other, "chat", 3.0) == [] or of(StartLoad, other.look_ahead(3.0)) == []


def test_a_model_that_a_person_unloads_stays_away_until_somebody_is_about_to_ask():
    scheduler = scheduler_of(model("chat", 3))
    ahead(scheduler)
    ask(scheduler, "chat", 5.0)
    scheduler.handle(JobEnded(1, "chat", succeeded=True), 6.0)
    (unload,) = of(StartUnload, scheduler.handle(UnloadRequested("chat"), 7.0))
    scheduler.handle(UnloadFinished("chat", unload.load_id, CARD), 8.0)
    assert scheduler.look_ahead(9.0) == []
    assert of(StartLoad, hinted(scheduler, "chat", 10.0))


def test_a_model_that_has_just_left_does_not_make_other_programs_seem_to_grow():
    drivers = 0.25
    full, freed = (gpu(0, 9 - drivers), host()), (gpu(0, 12 - drivers), host())
    scheduler = scheduler_of(model("chat", 3), cards=freed)
    ahead(scheduler, cards=full)
    ask(scheduler, "chat", 5.0)
    scheduler.handle(JobEnded(1, "chat", succeeded=True), 6.0)
    (unload,) = of(StartUnload, scheduler.handle(UnloadRequested("chat"), 7.0))
    scheduler.handle(SnapshotsTaken(freed), 7.5)
    scheduler.handle(UnloadFinished("chat", unload.load_id, freed), 8.0)
    scheduler.handle(SnapshotsTaken(freed), 9.0)
    scheduler.handle(SnapshotsTaken(freed), 12.0)
    assert scheduler.state.watches["GPU-0"].grown_since_s is None
    assert of(StartLoad, hinted(scheduler, "chat", 13.0))


def test_pinned_models_are_not_loaded_ahead():
    scheduler = scheduler_of(model("chat", 3, pinned=True))
    assert hinted(scheduler, "chat") == []


def test_a_process_that_is_in_use_gets_no_load_ahead():
    scheduler = scheduler_of(model("yolo", 1, worker="torch"), model("clip", 1, worker="torch"))
    ahead(scheduler, "yolo")
    ask(scheduler, "yolo", 4.0)
    assert hinted(scheduler, "clip", 5.0) == []


def test_loads_in_vain_make_it_careful_and_hits_make_it_bold():
    accounts = scheduler_of(model("chat")).state.prefetches
    assert accounts.is_worth_it(0.9, load_s=1.0, usual_s=3.0, max_wasted=0.15)
    before = accounts.price
    scheduler = scheduler_of(model("chat", 3))
    ahead(scheduler)
    scheduler.look_ahead(2000.0)
    careful = scheduler.state.prefetches
    assert careful.price > before
    assert not careful.is_worth_it(0.6, load_s=3.0, usual_s=6.0, max_wasted=0.15)
    assert careful.is_worth_it(0.6, load_s=60.0, usual_s=6.0, max_wasted=0.15)


@pytest.mark.parametrize("seed", range(60))
def test_no_load_ahead_ever_changes_the_plan_of_another_model(seed):
    random = Random(seed)
    models = [
        model(
            f"m{i}",
            random.choice((1, 2, 3, 5, 8)),
            *random.choice(((), (1,))),
            worker=random.choice((f"w{i}", "torch")),
            purpose=random.choice(("chat", "vision")),
            preferred=random.choice(((), ("cuda:0",), ("cuda:1",))),
            allow_cpu=random.random() < 0.5,
        )
        for i in range(random.randint(2, 6))
    ]
    kept = book(reserve("GPU-0", random.choice((0, 4)))) if random.random() < 0.5 else book()
    scheduler = scheduler_of(*models, cards=TWO_CARDS, ledger=kept)
    for step in range(4):
        now_s = 10.0 * step + 1
        before = {m.name: scheduler.plan(m.name, now_s) for m in models}
        name = random.choice(models).name
        for load in of(StartLoad, hinted(scheduler, name, now_s)):
            for other in models:
                if scheduler.instances[other.name].state is InstanceState.COLD:
                    assert like(before[other.name], scheduler.plan(other.name, now_s))
            scheduler.handle(
                LoadFinished(load.model, load.load_id, (), _taken(scheduler)), now_s + 2
            )


def _taken(scheduler):
    held = {
        card.uuid: sum(x.size_bytes for x in scheduler.ledger.leases_on(card.uuid)) / GIB
        for card in TWO_CARDS
    }
    return (gpu(0, 12 - held["GPU-0"]), gpu(1, 12 - held["GPU-1"]), host(16 - held["cpu"]))


def like(one, other):
    if isinstance(one, PlacedOn) and isinstance(other, PlacedOn):
        return [(s.device_uuid, s.layers) for s in one.shares] == [
            (s.device_uuid, s.layers) for s in other.shares
        ]
    return type(one) is type(other)


class Foresight(World):
    """The hostile world with loads ahead, hints at random."""

    def __init__(self, policy, random):
        super().__init__(policy)
        self.random = random
        rules = replace(self.scheduler.state.rules, prediction=RULES)
        self.scheduler.set_rules(rules)

    def tell(self, event, seconds=0.1):
        super().tell(event, seconds)
        if not hasattr(self, "random"):
            return
        if self.random.random() < 0.3:
            kind = self.random.choice(tuple(HintKind))
            for effect in self.scheduler.handle(
                HintGiven(self.random.choice(NAMES), kind), self.now_s
            ):
                self.obey(effect)
        for effect in self.scheduler.look_ahead(self.now_s):
            self.obey(effect)
        self.check()

    def obey(self, effect):
        if isinstance(effect, CancelLoad):
            del self.loading[effect.load_id]
            self.unloading[effect.load_id] = effect
        else:
            super().obey(effect)


@pytest.mark.parametrize("seed", range(12))
def test_in_a_storm_with_loads_ahead_no_card_is_overfull_and_no_request_is_lost(seed):
    random = Random(seed)
    world = Foresight(random.choice(("cost", "lru", "largest", "priority")), random)
    while world.job_ids < 80:
        act = random.random()
        if act < 0.35:
            world.submit(random.choice(NAMES))
        elif act < 0.5 and world.running:
            world.finish(random.choice(sorted(world.running)))
        elif act < 0.65 and world.loading:
            world.finish_load(
                random.choice(sorted(world.loading)), random.choice(("ok", "ok", "oom"))
            )
        elif act < 0.75 and world.unloading:
            world.finish_unload(random.choice(sorted(world.unloading)))
        elif act < 0.85:
            world.play(random.choice(CARDS), random.uniform(0, 12))
        else:
            world.wait(random.expovariate(0.2))
    world.calm_down()
    assert set(world.ended) == set(range(1, world.job_ids + 1))
