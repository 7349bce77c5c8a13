"""What a dashboard shows, as values. ``render`` makes Grafana's JSON of it."""

from dataclasses import dataclass

Mark = tuple[float, str]
"""From this value on, this colour."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query and how its lines are called.

    Attributes:
        is_limit: Drawn dashed and unfilled: what the other lines should stay under.
    """

    expr: str
    legend: str
    is_limit: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over time.

    Attributes:
        text: Shown behind the panel's (i): what it tells, and what to make of it.
        unit: As Grafana names it: bytes, percent (0 to 100), percentunit (0 to 1), s, celsius.
        most: Upper end of the axis, where there is one.
        marks: Values from which on it is worth a look; drawn as dashed lines.
        bars: For counts per interval.
        repeat: A template variable: one panel for each of its values, side by side.
    """

    title: str
    text: str
    queries: tuple[Query, ...]
    unit: str
    most: float | None = None
    marks: tuple[Mark, ...] = ()
    stacked: bool = False
    bars: bool = False
    width: int = 12
    repeat: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """The newest value, large.

    Attributes:
        words: Texts that stand for values, each with its colour.
    """

    title: str
    text: str
    query: Query
    unit: str = "short"
    marks: tuple[Mark, ...] = ()
    words: tuple[tuple[int, str, str], ...] = ()
    width: int = 4


@dataclass(frozen=True, slots=True)
class States:
    """Coloured bands over time, one row for each line of the query."""

    title: str
    text: str
    query: Query
    words: tuple[tuple[int, str, str], ...]
    width: int = 12


@dataclass(frozen=True, slots=True)
class Bars:
    """The newest values side by side, one bar for each line of the query.

    Attributes:
        most: What a full bar stands for.
    """

    title: str
    text: str
    query: Query
    unit: str
    most: float
    marks: tuple[Mark, ...] = ()
    width: int = 24


Panel = Chart | Figure | States | Bars


@dataclass(frozen=True, slots=True)
class Choice:
    """A template variable: what of a metric's labels is shown.

    Attributes:
        values: A query as ``label_values(METRIC, LABEL)``.
    """

    name: str
    label: str
    values: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as a line through all charts.

    Attributes:
        expr: Above 0 in the minute in which it happened.
        title: With the labels of ``expr`` in double braces, as is ``text``.
        tags: Labels of ``expr``.
    """

    name: str
    expr: str
    colour: str
    title: str
    text: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under one headline."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    text: str
    choices: tuple[Choice, ...]
    events: tuple[Event, ...]
    sections: tuple[Section, ...]
