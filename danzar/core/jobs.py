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
from danzar.core.instance import Instance, InstanceState
from danzar.core.model import Job
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
    if instance.queue.is_full and not job.retried:
        reason = f"{len(instance.queue)} requests wait for {job.model} already; try again later"
        return [RefuseJob(job.job_id, Refusal.QUEUE_FULL, reason)]
    if not job.retried:
        instance.usage.note_use(now_s)
    instance.queue.add(job)
    return []


def end(state: State, event: JobEnded, now_s: float) -> Instance | None:
    """Note that a request is over; the model on which it ran, if it did."""
    # A waiting request may have been handed to a smaller model since: look everywhere.
    if any(i.queue.remove(event.job_id) for i in state.instances.values()):
        return None
    instance = state.instances.get(event.model)
    if instance is None or event.job_id not in instance.in_flight:
        return None
    instance.in_flight.discard(event.job_id)
    instance.last_used_s = now_s
    if event.succeeded:
        instance.failures = 0
    if event.seconds is not None:
        instance.usage.note_job(event.seconds)
    return instance


def start_jobs(instance: Instance) -> list[Effect]:
    """Run as many of the waiting requests as there are free slots."""
    effects: list[Effect] = []
    while len(instance.queue) and len(instance.in_flight) < instance.facts.slots:
        job = instance.queue.pop()
        instance.in_flight.add(job.job_id)
        why = " ".join(x for x in (job.note, instance.degraded) if x) or None
        settings = instance.placed.settings if instance.placed else ()
        effects.append(StartJob(job, instance.device_uuid or "", why, settings))
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


def queue_moves(instance: Instance) -> list[Effect]:
    """Who must be told of a new place in the queue, and when the turn is expected."""
    return [
        QueueMoved(job_id, position, _expected_s(instance, position))
        for job_id, position in instance.queue.moved()
    ]


def _expected_s(instance: Instance, position: int) -> float | None:
    """Rounds of jobs before this one, and the load where it is not done yet."""
    if instance.usage.job_s is None:
        return None
    ahead = position - 1 + len(instance.in_flight)
    waiting_s = ahead / instance.facts.slots * instance.usage.job_s
    if instance.state in (InstanceState.READY, InstanceState.DRAINING):
        return waiting_s
    return waiting_s + instance.usage.reload_s(instance.facts.cuda_bytes)
