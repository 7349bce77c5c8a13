"""Which card a generation would go to, what it may take there, and how fast it is."""

from dataclasses import replace
from pathlib import Path

from danzar.resources.machine import DeviceRoom, Machine
from danzar.resources.requirement import Budget
from danzar.resources.runs import Runs
from danzar.resources.schema import Profiles
from danzar.resources.subject import NOTHING_LEARNED, Speed, Subject, subject_of
from danzar.resources.system import disk_of
from danzar.units import format_size

# Where no card is known: what speeds are told for.
REFERENCE_CARD = "RTX 4090"


class Chooser:
    """Reads the machine at each question; keeps nothing of it."""

    def __init__(
        self,
        machine: Machine,
        profiles: Profiles,
        folder: Path,
        runs: Runs | None,
        cpu_threads: int,
    ) -> None:
        self._machine = machine
        self._profiles = profiles
        self._folder = folder
        self._runs = runs
        self._cpu_threads = cpu_threads

    def budget(self, card: DeviceRoom | None, time_limit_s: float | None) -> Budget:
        """What a generation on the card may take; on the CPU where there is none."""
        host, disk = self._machine.host(), disk_of(self._folder)
        reserve = self._profiles.common.disk_reserve.value
        return Budget(
            device="cpu" if card is None else card.label,
            vram_bytes=None if card is None else max(0, card.after_idle_bytes or 0),
            ram_bytes=None if host is None or host.room_bytes is None else max(0, host.room_bytes),
            disk_bytes=None if disk is None else max(0, disk[1] - reserve),
            time_s=time_limit_s,
        )

    def best_card(self) -> DeviceRoom | None:
        """The card with most room once idle models have left; ties go to the first."""
        cards = self._machine.cards()
        if not cards:
            return None
        return max(cards, key=lambda c: -1 if c.after_idle_bytes is None else c.after_idle_bytes)

    def subject(self, name: str, card: DeviceRoom | None, *, on_cpu: bool = False) -> Subject:
        """The model on that card, or on the reference card where none is known."""
        if on_cpu:
            return self.subject_on(name, "cpu")
        if card is not None:
            return self.subject_on(name, card.name)
        return self.subject_on(name, REFERENCE_CARD)

    def subject_on(self, name: str, device_name: str) -> Subject:
        """The model on a card of that name, or on the ``cpu``, with what was learned there."""
        subject = subject_of(self._profiles, name)
        runs = self._runs
        return replace(
            subject,
            on_card=device_name != "cpu",
            speed=self._speed(subject, device_name),
            learned=runs.learned(name, device_name) if runs else NOTHING_LEARNED,
            cpu_threads=self._cpu_threads,
        )

    def _speed(self, subject: Subject, device_name: str) -> Speed:
        if device_name == "cpu":
            return Speed(None, "unknown: no speed of this processor is known")
        share = subject.profile.efficiency.value
        card = self._profiles.card(device_name)
        if card is not None:
            return Speed(card.tflops.value * share, f"estimate for {device_name}")
        reference = self._profiles.cards[REFERENCE_CARD]
        text = f"estimate for an {REFERENCE_CARD}, as {device_name} is not known"
        return Speed(reference.tflops.value * share, text)


def room_text(card: DeviceRoom, needed_bytes: int, margin_bytes: int) -> tuple[bool, str]:
    """Whether the card has room for it, and in which words; the margin is part of it."""
    room = card.room_bytes or 0
    simulated = " (simulated)" if card.simulated else ""
    text = f"{card.label}{simulated} has room for {format_size(max(0, room))}"
    needed = f"{format_size(needed_bytes)} are needed"
    if margin_bytes:
        needed += f", {format_size(margin_bytes)} of it as a margin"
    if needed_bytes <= room:
        return True, f"{text}; {needed}"
    short = f"{format_size(needed_bytes - max(0, room))} are missing"
    if card.after_idle_bytes is not None and needed_bytes <= card.after_idle_bytes:
        return False, f"{text}; {needed}; it fits once {', '.join(card.idle)} left, idle now"
    return False, f"{text}; {needed}; {short}"


def no_card_text(host: DeviceRoom | None) -> str:
    """That no card can be used, and what RAM has room for."""
    text = "No GPU says what is free; see `danzar gpu status`"
    if host is None or host.room_bytes is None:
        return text
    return f"{text}. RAM has room for {format_size(max(0, host.room_bytes))}"
