"""Learns what batches take: from every answer, and by trying sizes while a model is idle."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing

from danzar.broker.curve_file import CurveFile, CurveKey
from danzar.broker.pool import WorkerPool
from danzar.config.settings import Config
from danzar.core.batch_curve import BatchPoint
from danzar.core.device import DeviceSnapshot
from danzar.core.instance import Instance, InstanceState
from danzar.core.state import State
from danzar.errors import BackendFailed, DanzarError, ModelError
from danzar.estimate.correct import settings_key
from danzar.estimate.fingerprint import fingerprint
from danzar.models.manifest import resolve
from danzar.workers.contract import BatchWork, MeasureBatch, MeasuredBatch
from danzar.workers.outcomes import Finished
from danzar.workers.process import WorkerProcess

log = logging.getLogger(__name__)

_SIZES = (1, 2, 4, 8, 16, 32, 64)
_LOOK_INTERVAL_S = 5.0
_WRITE_INTERVAL_S = 60.0
# A model that was asked within this time may be asked again at once: it is not tried out then.
_QUIET_S = 3.0
# No trial that a person would have to wait for longer than this.
_LONGEST_TRIAL_S = 3.0
_TRIAL_TIMEOUT_S = 60.0

Tell = Callable[[str, tuple[BatchPoint, ...]], None]


class Curves:
    """Tells the scheduler what is measured, and keeps it for the next start."""

    def __init__(
        self, config: Config, file: CurveFile, pool: WorkerPool, state: State, tell: Tell
    ) -> None:
        """Know nothing yet.

        Args:
            config: Where the models' files and settings are.
            file: What earlier runs measured.
            pool: The workers that are asked to try sizes.
            state: The scheduler's, to be read only.
            tell: Posts measured points to the scheduler.
        """
        self._config = config
        self._file = file
        self._pool = pool
        self._state = state
        self._tell = tell
        self._keys: dict[tuple[str, str], CurveKey] = {}
        self._told: dict[str, int] = {}
        self._fresh = False

    def note(self, model: str, work: Iterable[BatchWork]) -> None:
        """A request computed these batches."""
        points = tuple(
            BatchPoint(w.batch, w.pixels, w.activation_bytes, w.seconds)
            for w in work
            if w.seconds is not None or w.activation_bytes is not None
        )
        instance = self._state.instances.get(model)
        if not points or instance is None:
            return
        self._tell(model, points)
        key = self._keys.get((model, self._device_class(instance)))
        if key is not None:
            self._file.keep(key, self._file.curve(key).with_points(points))
            self._fresh = True

    async def run(self, now_s: Callable[[], float]) -> None:
        """Tell what is known of each model that is loaded, and try what is not; until cancelled."""
        await self._file.read()
        written_s = now_s()
        try:
            while True:
                await asyncio.sleep(_LOOK_INTERVAL_S)
                for instance in tuple(self._state.instances.values()):
                    await self._look_after(instance, now_s())
                if self._fresh and now_s() - written_s >= _WRITE_INTERVAL_S:
                    written_s, self._fresh = now_s(), False
                    await self._file.write()
        finally:
            if self._fresh:
                await asyncio.shield(self._file.write())

    async def _look_after(self, instance: Instance, now_s: float) -> None:
        if instance.batch is None or instance.state is not InstanceState.READY:
            return
        try:
            await self._recall(instance)
            size = self._untried(instance, now_s)
            if size is not None:
                process = self._pool.process(instance.name)
                self.note(instance.name, [await try_batch(process, instance.name, size)])
        except DanzarError as exc:
            log.warning("a batch of %s could not be measured: %s", instance.name, exc)

    async def _recall(self, instance: Instance) -> None:
        """Once for each load: what earlier runs measured."""
        if instance.load_id is None or self._told.get(instance.name) == instance.load_id:
            return
        self._told[instance.name] = instance.load_id
        where = (instance.name, self._device_class(instance))
        if where not in self._keys:
            key = await asyncio.to_thread(self._make_key, *where)
            if key is None:
                return
            self._keys[where] = key
        points = self._file.curve(self._keys[where]).points
        if points:
            self._tell(instance.name, points)

    def _untried(self, instance: Instance, now_s: float) -> int | None:
        """The smallest size that is booked and not measured yet, while the model is quiet."""
        rules, tuned = self._state.rules.batch, instance.batch
        if rules is None or tuned is None or not instance.is_idle:
            return None
        if now_s - instance.last_used_s < _QUIET_S:
            return None
        known, most = instance.curve.sizes(), min(tuned.state.size, rules.max_batch)
        wanted = next((b for b in _SIZES if b <= most and b not in known), None)
        expected_s = instance.curve.seconds_at(wanted) if wanted else None
        return None if (expected_s or 0.0) > _LONGEST_TRIAL_S else wanted

    def _make_key(self, model: str, device_class: str) -> CurveKey | None:
        try:
            path = resolve(model, self._config)
        except ModelError:
            return None
        if path is None:
            return None
        settings = self._config.models.models[model].settings
        return CurveKey(fingerprint(path), settings_key(settings), device_class)

    def _device_class(self, instance: Instance) -> str:
        return device_class(self._state.device(instance.device_uuid or ""))


async def try_batch(process: WorkerProcess, model: str, size: int) -> BatchWork:
    """Let a loaded model compute so many blank pictures at once; what that took.

    Raises:
        danzar.errors.DanzarError: It could not, or not in a minute; ``OutOfMemory`` where memory
            ran out.
    """
    try:
        async with (
            asyncio.timeout(_TRIAL_TIMEOUT_S),
            aclosing(process.run(model, MeasureBatch(size))) as parts,
        ):
            async for part in parts:
                if isinstance(part, Finished) and isinstance(part.result, MeasuredBatch):
                    return part.result.work
    except TimeoutError:
        raise BackendFailed(f"{model} did not compute {size} pictures at once in time") from None
    raise BackendFailed(f"{model} did not say what {size} pictures at once take")


def device_class(device: DeviceSnapshot | None) -> str:
    """A simulated card computes on the CPU, and takes what the CPU takes."""
    return device.name if device is not None and device.is_real_gpu else "cpu"
