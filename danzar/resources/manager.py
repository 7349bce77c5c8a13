"""``resources``: the seed's resource manager, under the names that it gave.

Reads the newest figures and the book, asks no driver, and changes nothing but on ``cleanup``.
``optimize_parameters_for_resources`` may compute for a tenth of a second: on an event loop await
``preflight``, which asks the same in a thread.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from danzar.core.incident import Observation
from danzar.core.pressure import Level
from danzar.core.upkeep import TrimLevel, TrimReport
from danzar.errors import BadInput, CannotPlace
from danzar.resources.choose import Chooser, no_card_text, room_text
from danzar.resources.cleanup import CleanupReport, clean
from danzar.resources.estimate import estimate
from danzar.resources.machine import DeviceRoom, Machine
from danzar.resources.preflight import Preflight, Question, answer
from danzar.resources.profiles import find_profile, shipped_profiles
from danzar.resources.request import read_request
from danzar.resources.requirement import OptimizationSuggestion, ResourceRequirement
from danzar.resources.runs import Run, Runs
from danzar.resources.schema import Profiles
from danzar.resources.subject import NOTHING_LEARNED
from danzar.resources.system import (
    HardwareCapabilities,
    SystemResourceInfo,
    read_capabilities,
    read_system,
)
from danzar.units import MIB, format_size

log = logging.getLogger(__name__)

KEPT_READINGS = 720
DISK_KEY = "disk:results"

_from_bytes = msgspec.msgpack.Decoder(SystemResourceInfo)


async def _no_workers(_: TrimLevel) -> TrimReport:
    return TrimReport()


@dataclass(slots=True)
class Parts:
    """What a resource manager is made of.

    Attributes:
        folder: Where results go.
        runs: What earlier generations took; ``None`` keeps nothing.
        trim: ``Upkeep.trim``.
        cached_bytes: What torch's allocators keep and do not use, by UUID.
        cpu_threads: Of the host.
    """

    machine: Machine
    folder: Path
    profiles: Profiles = field(default_factory=shipped_profiles)
    runs: Runs | None = None
    trim: Callable[[TrimLevel], Awaitable[TrimReport]] = _no_workers
    cached_bytes: Callable[[], Mapping[str, int]] = dict
    cpu_threads: int = 1
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class ResourceManager:
    """Estimates generations, says whether they fit, and what to change if not."""

    def __init__(self, parts: Parts) -> None:
        self.profiles = parts.profiles
        self._parts = parts
        self._machine = parts.machine
        self._chooser = Chooser(
            parts.machine, parts.profiles, parts.folder, parts.runs, parts.cpu_threads
        )
        # As bytes: less than half the memory, and 20,000 objects fewer.
        self._history: deque[bytes] = deque(maxlen=KEPT_READINGS)

    # --- the seed's names ------------------------------------------------------------------

    def estimate_resource_requirements(
        self,
        model_type: str,
        resolution: str | None = None,
        steps: int | None = None,
        duration: float | None = None,
        **more: Any,  # noqa: ANN401 - the other parameters, each checked by its key
    ) -> ResourceRequirement:
        """What a generation would need.

        Args:
            model_type: ``t2v-A14B``, ``i2v-A14B``, ``ti2v-5B``, ``sdxl``, ... or a short name.
            resolution: ``720p``, ``1280x720``; the model's own where it is left out.
            steps: Of denoising; they change the time alone.
            duration: Seconds of video; pictures take none.
            more: ``lora``, ``lora_rank``, ``batch``, ``fps``, ``guidance_scale``, ``precision``,
                ``offload``, ``attention``, ``vae_tiling``, ``text_encoder_device``.

        Raises:
            BadInput: The model, a parameter or a value is unknown; the nearest one is named.
        """
        given = {"resolution": resolution, "steps": steps, "duration": duration, **more}
        params = {key: value for key, value in given.items() if value is not None}
        params["model_type"] = model_type
        name, profile = find_profile(self.profiles, model_type)
        return estimate(
            read_request(params, profile), self._chooser.subject(name, self._chooser.best_card())
        )

    def check_vram_availability(
        self, required_mb: float, safety_margin_mb: float = 0.0
    ) -> tuple[bool, str]:
        """Whether a card has room for so many MiB now, and in which words to say so.

        Args:
            required_mb: MiB on one card.
            safety_margin_mb: MiB that stay free beyond it, besides the margin and the
                reservations of the settings, which are left whole in any case.

        Raises:
            BadInput: A figure is negative or no number.
        """
        if not (required_mb >= 0 and safety_margin_mb >= 0 and required_mb < float("inf")):
            raise BadInput(
                f"required_mb is {required_mb} and safety_margin_mb is {safety_margin_mb}; "
                "both must be 0 or more"
            )
        card = self._chooser.best_card()
        if card is None or card.room_bytes is None:
            return False, no_card_text(self._machine.host())
        needed = round((required_mb + safety_margin_mb) * MIB)
        return room_text(card, needed, round(safety_margin_mb * MIB))

    def optimize_parameters_for_resources(
        self, params: Mapping[str, Any], *, time_limit_s: float | None = None
    ) -> tuple[dict[str, Any], list[OptimizationSuggestion]]:
        """Parameters that fit, and what was changed in them, least loss of quality first.

        Room that idle models would make is counted: the planner unloads them for a generation.

        Raises:
            BadInput: A parameter or a value is unknown.
            CannotPlace: Nothing makes it fit; the message names what is missing.
        """
        found = answer(self._question(params, time_limit_s))
        if found.verdict == "impossible":
            raise CannotPlace(found.text)
        return dict(found.params), list(found.suggestions)

    def get_hardware_capabilities(self) -> HardwareCapabilities:
        """What the cards and the processor can do. Reads one file: off the event loop."""
        return read_capabilities(self.profiles, self._machine.cards())

    # --- generation ------------------------------------------------------------------------

    async def preflight(
        self, params: Mapping[str, Any], *, time_limit_s: float | None = None
    ) -> Preflight:
        """The one question before a generation: may it run, where, and with which parameters.

        Raises:
            BadInput: A parameter or a value is unknown.
        """
        return await asyncio.to_thread(answer, self._question(params, time_limit_s))

    async def record_run(
        self,
        params: Mapping[str, Any],
        *,
        device_name: str,
        took_s: float | None = None,
        peak_bytes: int | None = None,
    ) -> None:
        """Learn from a generation that ended, for the next estimate.

        Args:
            params: Those that it ran with.
            device_name: The card's name, or ``cpu``.
            took_s: Seconds from start to result.
            peak_bytes: The most that its process held on the card, CUDA context included.

        Raises:
            BadInput: As for ``preflight``.
            StoreFailed: It can't be kept.
        """
        if self._parts.runs is None:
            return
        name, profile = find_profile(self.profiles, str(params.get("model_type", "")))
        subject = replace(self._chooser.subject_on(name, device_name), learned=NOTHING_LEARNED)
        needs = estimate(read_request(params, profile), subject)
        expected_s = needs.estimated_time_seconds
        vram = peak_bytes / needs.vram_bytes if peak_bytes and needs.vram_bytes else None
        time = took_s / expected_s if took_s and expected_s else None
        if vram is not None or time is not None:
            await self._parts.runs.record(Run(name, device_name, vram, time))

    # --- the machine -----------------------------------------------------------------------

    def status(self) -> SystemResourceInfo:
        """VRAM, RAM, CPU and disk now."""
        memory, cards = self._machine.memory(), self._machine.cards()
        parts = self._parts
        return read_system(parts.clock(), memory, cards, parts.folder, parts.cached_bytes())

    @property
    def history(self) -> tuple[SystemResourceInfo, ...]:
        """The last readings of the monitor, oldest first; bounded."""
        return tuple(_from_bytes.decode(reading) for reading in self._history)

    def observe(self) -> Iterable[Observation]:
        """Take a reading into the history; for ``MemoryMonitor.add_source``."""
        reading = self.status()
        self._history.append(msgspec.msgpack.encode(reading))
        return [_disk_observation(reading, self.profiles.common.disk_reserve.value)]

    async def cleanup(self) -> CleanupReport:
        """Collect garbage and empty the allocators' caches in all of Danzar's processes."""
        return await clean(self._parts.trim, TrimLevel.GENTLE, self._device)

    async def cleanup_aggressive(self) -> CleanupReport:
        """The same several times over, and give free pages back to the system; slower."""
        return await clean(self._parts.trim, TrimLevel.AGGRESSIVE, self._device)

    # --- inside ----------------------------------------------------------------------------

    def _question(self, params: Mapping[str, Any], time_limit_s: float | None) -> Question:
        """All that the answer rests on, read now: the answer itself may be made in a thread."""
        name, profile = find_profile(self.profiles, str(params.get("model_type", "")))
        request = read_request(params, profile)
        card = self._chooser.best_card()
        if card is None or card.after_idle_bytes is None:
            subject = self._chooser.subject(name, card, on_cpu=profile.on_cpu)
            budget = self._chooser.budget(None, time_limit_s) if profile.on_cpu else None
            return Question(dict(params), request, subject, None, budget)
        subject = self._chooser.subject(name, card)
        budget = self._chooser.budget(card, time_limit_s)
        return Question(dict(params), request, subject, card, budget)

    def _device(self, uuid: str) -> DeviceRoom | None:
        rooms = [*self._machine.cards(), *filter(None, (self._machine.host(),))]
        return next((room for room in rooms if room.uuid == uuid), None)


def _disk_observation(reading: SystemResourceInfo, reserve_bytes: int) -> Observation:
    free = reading.disk_free_bytes
    if free is None:
        return Observation(DISK_KEY, None, "Nothing says how full the disk of the results is")
    if free >= reserve_bytes:
        return Observation(DISK_KEY, Level.NORMAL, f"The disk has {format_size(free)} free again")
    text = (
        f"The disk of the results has {format_size(free)} free, less than the "
        f"{format_size(reserve_bytes)} that are left alone. Delete what is not needed there"
    )
    return Observation(DISK_KEY, Level.WARNING, text)
