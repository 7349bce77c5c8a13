"""The queue as people see it in a simulated Discord, over the real scheduler."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import simcord

from cogs.queue import QueueCog
from cogs.queue_render import render_cancelled, render_queues
from danzar.bot import DanzarBot
from danzar.broker.queue_view import QueueView, RunningView, WaitingView, queue_views
from danzar.config.bot import DiscordSettings
from danzar.core.asker import Asker, RequestClass
from danzar.core.events import JobEnded, JobSubmitted, LoadFinished, SnapshotsTaken, StartLoad
from danzar.core.instance import InstanceState
from danzar.core.model import Job
from danzar.core.scheduler import Scheduler
from tests.core.worlds import gpu, make_scheduler, model

CHAT, VISION, _, WATCH, JOB = RequestClass


@dataclass
class Queues:
    """The scheduler with one loaded model, as the manager shows it."""

    scheduler: Scheduler
    cancelled: list = field(default_factory=list)
    now_s: float = 10.0

    def queues(self):
        return queue_views(self.scheduler.state, self.now_s)

    def cancel(self, number, reason):
        self.cancelled.append((number, reason))
        self.scheduler.handle(JobEnded(number, "chat", succeeded=False), self.now_s)
        return True

    def ask(self, number, person, kind=CHAT, at_s=5.0):
        asker = Asker(kind, None if person is None else str(person.id))
        self.scheduler.handle(JobSubmitted(Job(number, "chat", at_s, asker=asker)), at_s)


def loaded():
    scheduler = make_scheduler(model(), max_queue=20)
    scheduler.handle(SnapshotsTaken((gpu(free_gib=12),)), 0.0)
    (load,) = [
        x
        for x in scheduler.handle(JobSubmitted(Job(1, "chat", 0.0)), 0.0)
        if isinstance(x, StartLoad)
    ]
    scheduler.handle(LoadFinished("chat", load.load_id, (), (gpu(free_gib=8),)), 2.0)
    scheduler.instances["chat"].usage.job_s = 9.0
    return scheduler


@dataclass
class Rig:
    queues: Queues
    audited: list
    general: object
    ann: object
    bob: object
    operator: object

    @property
    def text(self):
        return self.general.last_message.embeds[0].description


@asynccontextmanager
async def rig(*, check_errors=True):
    queues, audited = Queues(loaded()), []

    async def audit(*entry):
        audited.append(entry)

    bot = DanzarBot(DiscordSettings())
    bot.planned_cogs = (QueueCog(bot, queues, audit),)
    async with simcord.run(bot, check_errors=check_errors) as env:
        guild = env.create_guild()
        operators = guild.create_role("Danzar Operator")
        yield Rig(
            queues,
            audited,
            guild.create_text_channel("general"),
            guild.add_member(env.create_user("ann")),
            guild.add_member(env.create_user("b_o_b")),
            guild.add_member(env.create_user("operator"), roles=[operators]),
        )


async def test_queue_shows_what_runs_and_waits_without_ids_or_pings():
    async with rig() as r:
        r.queues.ask(2, r.ann)
        r.queues.ask(3, r.bob, WATCH)
        await r.bob.send(r.general, "hello everyone")
        await r.ann.send(r.general, "!queue")
        lines = r.text.splitlines()
        assert lines[0] == "**chat**: 1 of 1 at work, 2 waiting, about 9 s each"
        assert lines[1] == "▶️ #1 chat · someone · for 8 s, waited 2 s"
        assert lines[2] == "1. #2 chat · you · waiting for 5 s, about 9 s to go"
        assert lines[3] == "2. #3 watch · b\\_o\\_b · waiting for 5 s, about 18 s to go"
        assert str(r.bob.id) not in r.text
        assert "<@" not in r.text


async def test_an_idle_queue_says_so_and_has_no_button():
    async with rig() as r:
        r.queues.scheduler.handle(JobEnded(1, "chat", succeeded=True), 9.0)
        await r.ann.send(r.general, "!queue")
        assert r.text == "Nothing is being answered, and nobody waits."
        assert not r.general.last_message.components


async def test_the_button_takes_back_ones_own_and_no_one_elses():
    async with rig() as r:
        r.queues.ask(2, r.ann)
        r.queues.ask(3, r.bob)
        r.queues.ask(4, r.ann, VISION)
        await r.ann.send(r.general, "!queue")
        await r.ann.click(r.general.last_message, label="Cancel mine")

        assert sorted(number for number, _ in r.queues.cancelled) == [2, 4]
        assert r.general.last_message.content == "↩️ Taken back: #2, #4."


async def test_cancel_without_a_number_takes_back_all_ones_own():
    async with rig() as r:
        r.queues.ask(2, r.ann)
        r.queues.ask(3, r.bob)
        await r.bob.send(r.general, "!queue cancel")
        assert r.general.last_message.content == "↩️ Taken back: #3."
        await r.bob.send(r.general, "!queue cancel")
        assert r.general.last_message.content == "Nothing of yours is waiting."


async def test_others_requests_are_taken_back_by_operators_only():
    async with rig(check_errors=False) as r:
        r.queues.ask(2, r.ann)
        await r.bob.send(r.general, "!queue cancel 2")
        assert "Request #2 is not yours" in r.general.last_message.content
        assert r.queues.cancelled == []

        await r.operator.send(r.general, "!queue cancel 2")
        assert r.queues.cancelled == [(2, "An operator took this request out of the queue.")]
        ((_, action, detail),) = r.audited
        assert (action, detail) == ("queue.cancel", "request 2 of chat")


async def test_a_number_that_does_not_wait_is_named_with_those_that_do():
    async with rig(check_errors=False) as r:
        r.queues.ask(2, r.ann)
        await r.ann.send(r.general, "!queue cancel 1")
        assert "no request #1 waits; waiting: #2" in r.general.last_message.content


# --- rendering -----------------------------------------------------------------------------------


def view(*waiting, running=(), state=InstanceState.READY, job_s=None):
    return QueueView("chat", state, 2, job_s, tuple(running), tuple(waiting))


def waiting(position, waited_s=1.0, expected_s=None, bound_s=30.0):
    return WaitingView(position, CHAT, position, waited_s, expected_s, bound_s, "4711")


def test_a_wait_longer_than_promised_says_so():
    text = render_queues([view(waiting(1, 5.0, 95.0))], lambda _: "Ann")

    assert "about 1 min 35 s to go ⚠️ longer than the 30 s it should be" in text


def test_a_model_that_is_not_loaded_says_where_it_is():
    text = render_queues([view(waiting(1), state=InstanceState.LOADING)], lambda _: "Ann")

    assert text.splitlines()[0] == "**chat** (loading): 0 of 2 at work, 1 waiting"


def test_a_long_queue_is_cut_with_the_number_of_the_rest():
    text = render_queues([view(*(waiting(n) for n in range(1, 15)))], lambda _: "Ann")

    assert text.splitlines()[-1] == "… and 4 more"


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], "Nothing of yours is waiting."), ([3, 7], "↩️ Taken back: #3, #7.")],
)
def test_what_was_taken_back(numbers, expected):
    assert render_cancelled(numbers) == expected


def test_an_identity_is_in_no_repr_of_the_queue():
    row = RunningView(1, CHAT, 1.0, 1.0, "4711")

    assert "4711" not in repr(view(waiting(1), running=[row]))
