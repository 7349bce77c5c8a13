from dataclasses import replace
from random import Random

import pytest

from danzar.broker.decisions import (
    FILE,
    OLDER_FILE,
    DecisionLog,
    decode,
    encode,
    kind_of,
    read_decisions,
)
from danzar.commands.replay import replay
from danzar.core.events import Decided
from danzar.core.placement import plan_placement
from danzar.core.plan import Impossible
from danzar.errors import BadInput
from tests.simulate.random_worlds import random_inputs


def decided(seed: int) -> Decided:
    inputs = random_inputs(Random(seed))
    return Decided(inputs, plan_placement(inputs))


def test_every_decision_comes_back_exactly_as_it_was():
    kinds = set()
    for seed in range(400):
        made = decided(seed)
        back = decode(encode(made, 1.5))
        assert (back.at, back.inputs, back.plan) == (1.5, made.inputs, made.plan)
        kinds.add(kind_of(made.plan))
    assert len(kinds) == 5


def test_what_was_recorded_is_decided_again_in_the_same_way(tmp_path):
    log = DecisionLog(tmp_path)
    for seed in range(300):
        log.write(decided(seed))
    log.close()
    result = replay(tmp_path / FILE)
    assert (result.decisions, result.same, log.dropped) == (300, 300, 0)


def test_a_decision_that_is_another_one_now_is_shown_with_its_line(tmp_path):
    made = decided(1)
    changed = Decided(made.inputs, Impossible(7, "there is no room"))
    file = tmp_path / "some.jsonl"
    file.write_bytes(encode(made, 0.0) + encode(changed, 0.0))
    result = replay(file)
    assert (result.decisions, result.same) == (2, 1)
    (difference,) = result.differences
    assert (difference.line, difference.model) == (2, "wanted")
    assert difference.was == "impossible: there is no room"
    assert difference.now.startswith(kind_of(made.plan))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(b"{nonsense", "is no decision", id="no JSON"),
        pytest.param(encode(decided(1), 0.0)[:400], "is no decision", id="cut off"),
        pytest.param(b'{"version": 9}', "is of version 9", id="another version"),
        pytest.param(
            encode(decided(1), 0.0).replace(b'"kind":"', b'"kind":"new_', 1),
            "unknown kind 'new_",
            id="another kind",
        ),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, words):
    file = tmp_path / "some.jsonl"
    file.write_bytes(encode(decided(2), 0.0) + line)
    with pytest.raises(BadInput, match=rf"some\.jsonl:2: .*{words}"):
        list(read_decisions(file))


def test_the_files_never_take_more_than_their_limit(tmp_path):
    limit = 200_000
    for round_ in range(3):
        log = DecisionLog(tmp_path, max_bytes=limit)
        for seed in range(100):
            log.write(decided(round_ * 100 + seed))
        log.close()
        sizes = [(tmp_path / name).stat().st_size for name in (FILE, OLDER_FILE)]
        assert sum(sizes) <= limit
    newest = [recorded for _, recorded in read_decisions(tmp_path / FILE)][-1]
    assert newest.inputs == decided(299).inputs


def test_a_disk_that_refuses_costs_decisions_and_nothing_else(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    log = DecisionLog(blocked)
    log.write(decided(1))
    log.write(replace(decided(2)))
    log.close()
    assert log.dropped == 2
