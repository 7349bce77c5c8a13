"""Requests in and out of their models' queues. Pure: functions over the scheduler's state."""

from dataclasses import replace

from danzar.core.events import (
    Effect,
    JobEnded,
    QueueMoved,
    Refusal,
    RefuseJob,
    StartJob,
)
from danzar.core.instance import Instance, InstanceState, Running
from danzar.core.model import Job
from danzar.core.plan import WaitForIdle
from danzar.core.state import State


def submit(state: State, job: Job, now_s: float) -> list[Effect]:
    """Queue a request, or refuse it at once."""
    instance = state.instances.get(job.model)
    if instance is None:
        known = ", ".join(sorted(state.instances))
        reason = f"no model is called {job.model!r}; known: {known}"
        return [RefuseJob(job.job_id, Refusal.UNKNOWN_MODEL, reason)]
    if instance.state is InstanceState.FAILED and now_s < instance.not_before_s:
        return [RefuseJob(job.job_id, Refusal.LOAD_FAILED, failed_text(instance, now_s))]
    if job.retried:
        instance.queue.add(job)
        return []
    refused = _make_place(instance, job)
    if not any(effect.job_id == job.job_id for effect in refused):
        instance.usage.note_use(now_s)
        instance.queue.add(job)
    return [*refused]


def _make_place(instance: Instance, job: Job) -> list[RefuseJob]:
    """Whose request is refused so that the queue keeps its bounds: the new one's, another's."""
    queue, name = instance.queue, instance.name
    own, most = queue.waiting(job.asker), queue.rules.max_per_person
    if job.asker.person is not None and own >= most:
        reason = (
            f"{own} of your requests wait for {name} already, and {most} may; "
            "wait for an answer, or take one back (`queue cancel`)"
        )
        return [RefuseJob(job.job_id, Refusal.QUEUE_FULL, reason)]
    if not queue.is_full:
        return []
    last = queue.displaced_by(job)
    if last is None:
        reason = f"{len(queue)} requests wait for {name} already; try again later"
        return [RefuseJob(job.job_id, Refusal.QUEUE_FULL, reason)]
    reason = (
        f"{len(queue)} requests wait for {name}, {queue.waiting(last.asker)} of them yours: "
        "the last one gave way to someone who has fewer; ask again later"
    )
    queue.remove(last.job_id)
    return [RefuseJob(last.job_id, Refusal.QUEUE_FULL, reason)]


def end(state: State, event: JobEnded, now_s: float) -> Instance | None:
    """Note that a request is over; the model on which it ran, if it did."""
    # A waiting request may have been handed to a smaller model since: look everywhere.
    if any(i.queue.remove(event.job_id) for i in state.instances.values()):
        return None
    instance = state.instances.get(event.model)
    if instance is None or event.job_id not in instance.in_flight:
        return None
    del instance.in_flight[event.job_id]
    instance.last_used_s = now_s
    if event.succeeded:
        instance.failures = 0
    if event.seconds is not None:
        instance.usage.note_job(event.seconds)
    return instance


def start_jobs(instance: Instance, now_s: float) -> list[Effect]:
    """Run as many of the waiting requests as there are free slots."""
    effects: list[Effect] = []
    while len(instance.queue) and len(instance.in_flight) < instance.slots:
        job = instance.queue.pop(now_s)
        instance.in_flight[job.job_id] = Running(job, now_s)
        why = " ".join(x for x in (job.note, instance.degraded) if x) or None
        settings = instance.placed.settings if instance.placed else ()
        batch = instance.batch.state.size if instance.batch else None
        effects.append(StartJob(job, instance.device_uuid or "", why, settings, batch))
    return effects


def redirect(instance: Instance, to: Instance, reason: str) -> list[Effect]:
    """Hand the waiting requests to a smaller model, as far as its queue takes them."""
    note = f"{to.name} answers instead of {instance.name}: {reason}"
    effects: list[Effect] = []
    for job in instance.queue.drain():
        if to.queue.is_full:
            effects.append(RefuseJob(job.job_id, Refusal.QUEUE_FULL, note))
        else:
            to.queue.add(replace(job, model=to.name, note=note))
    return effects


def refuse_all(instance: Instance, kind: Refusal, reason: str) -> list[Effect]:
    """Refuse everything that waits for a model."""
    return [RefuseJob(job.job_id, kind, reason) for job in instance.queue.drain()]


def failed_text(instance: Instance, now_s: float) -> str:
    """Why a model can't be asked just now, and when it can."""
    wait_s = max(0.0, instance.not_before_s - now_s)
    return (
        f"{instance.name} could not be loaded: {instance.last_error}. "
        f"The next try is possible in {wait_s:.0f} s."
    )


def queue_moves(instance: Instance, now_s: float) -> list[Effect]:
    """Who must be told of a new place in the queue, and when the turn is expected."""
    bounds_s, is_loaded = instance.queue.rules.bounds_s, instance.state is InstanceState.READY
    return [
        QueueMoved(
            job.job_id,
            place,
            expected_s(instance, place, now_s),
            bounds_s[job.asker.kind],
            loading=not is_loaded and place <= instance.slots,
        )
        for job, place in instance.queue.moved(now_s)
    ]


def expected_s(instance: Instance, position: int, now_s: float) -> float | None:
    """Seconds until the turn comes: the jobs before it, and the load where it is not done yet.

    ``None`` where nothing is known: no job has ended yet, or the model waits for others to leave.
    """
    if instance.usage.job_s is None:
        return None
    ahead = position - 1 + len(instance.in_flight)
    # What runs longer than usual says that the next ones may, too.
    longest_s = max((now_s - run.started_s for run in instance.in_flight.values()), default=0.0)
    waiting_s = ahead / instance.slots * max(instance.usage.job_s, longest_s)
    if instance.state is InstanceState.READY:
        return waiting_s
    waits_for_others = instance.last_plan is not None and isinstance(
        instance.last_plan[1], WaitForIdle
    )
    if instance.state is InstanceState.COLD and waits_for_others:
        return None
    return waiting_s + instance.usage.reload_s(instance.facts.cuda_bytes)
