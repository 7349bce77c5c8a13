"""Who lives, who drains and who is lost, and since when."""

from danzar.nodes.choice import Fit, Offer
from danzar.nodes.standing import Standing, judge, offers
from danzar.nodes.state import Phase
from danzar.units import GIB
from tests.nodes.makers import member, model, node


def test_a_node_lives_since_it_began_to_serve() -> None:
    found = judge(node(), beat_at=158.0, now=160.0)

    assert (found.standing, found.since_s, found.silent_s) == (Standing.ALIVE, 60.0, 2.0)


def test_a_node_is_lost_after_the_silence_that_it_announced_itself() -> None:
    assert judge(node(), beat_at=100.0, now=130.0).standing is Standing.ALIVE
    found = judge(node(), beat_at=100.0, now=131.0)
    assert (found.standing, found.since_s) == (Standing.LOST, 31.0)
    patient = node(failure_after_s=600.0)
    assert judge(patient, beat_at=100.0, now=131.0).standing is Standing.ALIVE


def test_a_node_that_drains_takes_no_jobs() -> None:
    found = judge(node(phase=Phase.DRAINING, phase_at=150.0), beat_at=158.0, now=160.0)

    assert (found.standing, found.since_s, found.takes_jobs) == (Standing.DRAINING, 10.0, False)


def test_only_nodes_that_take_jobs_and_know_the_model_are_asked() -> None:
    members = (
        member("a", model("chat", Fit.LOADED)),
        member("b", model("chat"), standing=Standing.DRAINING),
        member("c", model("chat"), standing=Standing.LOST),
        member("d", model("other")),
    )

    assert offers("chat", members) == (Offer("a", Fit.LOADED, 12 * GIB),)
