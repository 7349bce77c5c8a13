"""A dashboard's values as Grafana's JSON, by Grafana's own SDK."""

import json
from itertools import count
from typing import Any, assert_never

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import (
    Bars,
    Board,
    Chart,
    Choice,
    Event,
    Figure,
    Mark,
    Panel,
    Query,
    States,
)

DATA_SOURCE = "danzar-prometheus"
"""The uid that ``provisioning/datasources`` gives it."""

_CHART_ROWS, _FIGURE_ROWS, _BARS_ROWS = 8, 4, 6
_REPEATED_PER_ROW = 4
_EVENT_STEP = "60s"
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_VALUE_MAP = tuple[tuple[int, str, str], ...]


def board_json(board: Board) -> str:
    """The file's content: the same board makes the same text."""
    page = _page(board)
    ids = count(1)
    for section in board.sections:
        page.with_row(dashboard.Row(section.title).id(next(ids)))
        for panel in section.panels:
            page.with_panel(_panel(panel).id(next(ids)))
    made = json.loads(json.dumps(page.build(), cls=JSONEncoder))
    made["annotations"]["list"] = [_event(event) for event in board.events]
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _page(board: Board) -> dashboard.Dashboard:
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    source.current(models.VariableOption(text="Danzar", value=DATA_SOURCE))
    page = dashboard.Dashboard(board.title).uid(board.uid).description(board.text)
    page.tags(["danzar"]).time("now-1h", "now").refresh("30s").editable()
    page.tooltip(models.DashboardCursorSync.CROSSHAIR).with_variable(source)
    for choice in board.choices:
        page.with_variable(_choice(choice))
    others = dashboard.DashboardLink("Danzar").type(models.DashboardLinkType.DASHBOARDS)
    return page.link(others.tags(["danzar"]).include_vars(True).keep_time(True))


def _choice(choice: Choice) -> dashboard.QueryVariable:
    """A list to choose from; all of it at first."""
    query: dict[str, object] = {"query": choice.values, "refId": choice.name, "qryType": 1}
    variable = dashboard.QueryVariable(choice.name).label(choice.label).query(query)
    variable.datasource(_SOURCE).multi(True).include_all(True)
    variable.current(models.VariableOption(text=["All"], value=["$__all"]))
    return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(
        models.VariableSort.NATURAL_ASC
    )


def _event(event: Event) -> dict[str, Any]:
    """An annotation. The SDK has no fields for what Prometheus' ones say: the schema is open there.

    Grafana's step is the window of the event's query, so that each event is met once.
    """
    return {
        "name": event.name,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "builtIn": 0,
        "hide": False,
        "iconColor": event.colour,
        "expr": event.expr,
        "step": _EVENT_STEP,
        "titleFormat": event.title,
        "textFormat": event.text,
        "tagKeys": ",".join(event.tags),
    }


def _panel(
    panel: Panel,
) -> timeseries.Panel | stat.Panel | statetimeline.Panel | bargauge.Panel:
    match panel:
        case Chart():
            return _chart(panel)
        case Figure():
            return _figure(panel)
        case States():
            return _states(panel)
        case Bars():
            return _bars(panel)
        case _:
            assert_never(panel)


def _chart(chart: Chart) -> timeseries.Panel:
    made = timeseries.Panel().title(chart.title).description(chart.text).datasource(_SOURCE)
    made.height(_CHART_ROWS).span(chart.width).unit(chart.unit).min(0)
    made.targets([_target(query, number) for number, query in enumerate(chart.queries)])
    made.tooltip(_tooltip()).legend(_legend())
    made.show_points(words.VisibilityMode.NEVER).line_width(1)
    _draw(made, chart)
    if chart.most is not None:
        made.max(chart.most)
    if chart.repeat is not None:
        made.repeat(chart.repeat).repeat_direction("h").max_per_row(_REPEATED_PER_ROW)
    return made


def _draw(made: timeseries.Panel, chart: Chart) -> None:
    """Lines or bars, stacked or not, with marks and limits."""
    bars = chart.bars
    made.draw_style(words.GraphDrawStyle.BARS if bars else words.GraphDrawStyle.LINE)
    made.fill_opacity(60 if bars else 35 if chart.stacked else 10)
    stacking = words.StackingMode.NORMAL if chart.stacked or bars else words.StackingMode.NONE
    made.stacking(common.StackingConfig().mode(stacking).group("A"))
    made.thresholds(_thresholds(chart.marks))
    if chart.marks:
        style = common.GraphThresholdsStyleConfig().mode(words.GraphThresholdsStyleMode.DASHED)
        made.thresholds_style(style)
    for number, query in enumerate(chart.queries):
        if query.is_limit:
            made.override_by_query(_ref_id(number), _LIMIT)


_LIMIT = [
    models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
    models.DynamicConfigValue("custom.fillOpacity", 0),
    models.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "B"}),
]


def _figure(figure: Figure) -> stat.Panel:
    made = stat.Panel().title(figure.title).description(figure.text).datasource(_SOURCE)
    made.height(_FIGURE_ROWS).span(figure.width).unit(figure.unit)
    made.targets([_target(figure.query, 0)])
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    made.graph_mode(words.BigValueGraphMode.AREA).color_mode(words.BigValueColorMode.VALUE)
    made.thresholds(_thresholds(figure.marks)).no_value("unknown")
    if figure.words:
        made.mappings([_mapping(figure.words)]).graph_mode(words.BigValueGraphMode.NONE)
    return made


def _states(states: States) -> statetimeline.Panel:
    made = statetimeline.Panel().title(states.title).description(states.text).datasource(_SOURCE)
    made.height(_CHART_ROWS).span(states.width).mappings([_mapping(states.words)])
    made.targets([_target(states.query, 0)]).tooltip(_tooltip())
    made.show_value(words.VisibilityMode.AUTO).row_height(0.8).merge_values(True)
    made.line_width(0).fill_opacity(70)
    return made.thresholds(_thresholds(()))


def _bars(bars: Bars) -> bargauge.Panel:
    made = bargauge.Panel().title(bars.title).description(bars.text).datasource(_SOURCE)
    made.height(_BARS_ROWS).span(bars.width).unit(bars.unit).min(0).max(bars.most)
    made.targets([_target(bars.query, 0)]).thresholds(_thresholds(bars.marks))
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    made.display_mode(words.BarGaugeDisplayMode.BASIC)
    return made.orientation(words.VizOrientation.VERTICAL)


def _target(query: Query, number: int) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).legend_format(query.legend)
    return made.range().ref_id(_ref_id(number)).datasource(_SOURCE)


def _ref_id(number: int) -> str:
    return "ABCDEFGHIJ"[number]


def _thresholds(marks: tuple[Mark, ...]) -> dashboard.ThresholdsConfig:
    """Green until the first mark."""
    steps = [models.Threshold(value=None, color="green")]
    steps += [models.Threshold(value=value, color=colour) for value, colour in marks]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(texts: _VALUE_MAP) -> models.ValueMap:
    return models.ValueMap(
        options={
            str(value): models.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, text, colour) in enumerate(texts)
        }
    )


def _tooltip() -> common.VizTooltipOptions:
    shown = common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI)
    return shown.sort(words.SortOrder.DESCENDING)


def _legend() -> common.VizLegendOptions:
    """Below the chart, as a list: narrow panels and many cards have room for nothing else."""
    shown = common.VizLegendOptions().display_mode(words.LegendDisplayMode.LIST)
    return shown.placement(words.LegendPlacement.BOTTOM).show_legend(True).calcs([])
