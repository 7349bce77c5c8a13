"""The dashboard "Chat and vision": who asks, how long it takes, and what runs for it."""

from deploy.grafana.events import EVICTION, INCIDENT, NODE
from deploy.grafana.panels import Board, Chart, Choice, Figure, Query, Section, States

_NODE = '{node=~"$node"}'
_MODEL = '{node=~"$node", model=~"$model"}'
_RATE = "$__rate_interval"
_YES_NO = ((0, "no", "red"), (1, "yes", "green"))


def _rate(metric: str, by: str, where: str = _MODEL, window: str = _RATE) -> str:
    return f"sum by ({by}) (rate({metric}{where}[{window}]))"


def _counted(metric: str, by: str, where: str = _MODEL) -> str:
    return f"sum by ({by}) (increase({metric}{where}[{_RATE}]))"


def _p50_p99(
    histogram: str, by: str, where: str, legend: str, window: str = _RATE
) -> tuple[Query, ...]:
    """Two lines for each ``by``; a window of an hour for what happens rarely."""
    buckets = _rate(f"{histogram}_bucket", f"{by}, le", where, window)
    return tuple(
        Query(f"histogram_quantile({share}, {buckets})", f"{legend} {name}".strip())
        for share, name in ((0.5, "p50"), (0.99, "p99"))
    )


_NOW = Section(
    "Now",
    (
        Figure(
            "Ready",
            "Whether all machines have everything that they need; what is missing is further down.",
            Query(f"min(danzar_ready{_NODE})", "ready"),
            words=_YES_NO,
        ),
        Figure(
            "Connected to Discord",
            "Whether the gateway is connected. Empty on machines that run without Discord.",
            Query(f"min(danzar_discord_connected{_NODE})", "connected"),
            words=_YES_NO,
        ),
        Figure(
            "Incidents",
            "Incidents that last now, of every level.",
            Query(f"sum(danzar_incidents_open{_NODE})", "open"),
            marks=((1, "red"),),
        ),
        Figure(
            "Waiting",
            "Requests that wait for a model now.",
            Query(f"sum(danzar_queue_waiting{_MODEL})", "waiting"),
            marks=((4, "orange"), (9, "red")),
        ),
        Figure(
            "Models loaded",
            "Models that are ready to answer at once.",
            Query(f"count(count by (node, model) (danzar_model_loaded{_MODEL}))", "loaded"),
        ),
        Figure(
            "Machines",
            "Machines that share the work and give signs of life.",
            Query(f"max(danzar_nodes{_NODE})", "machines"),
        ),
    ),
)

_REQUESTS = Section(
    "Requests",
    (
        Chart(
            "Requests",
            "Requests per second that ended, by what they were for.",
            (
                Query(
                    _rate(
                        "danzar_requests_total",
                        "request_class",
                        '{node=~"$node", model=~"$model", request_class=~"$request_class"}',
                    ),
                    "{{request_class}}",
                ),
            ),
            "reqps",
            stacked=True,
        ),
        Chart(
            "How requests ended",
            "Requests per second by their outcome. Refused: the queue was full, or the person had "
            "too many waiting.",
            (
                Query(
                    _rate(
                        "danzar_requests_total",
                        "outcome",
                        '{node=~"$node", model=~"$model", request_class=~"$request_class"}',
                    ),
                    "{{outcome}}",
                ),
            ),
            "reqps",
            stacked=True,
        ),
        Chart(
            "Wait of $request_class",
            "From asking to the start on a worker: half of the requests waited less than p50, 99 "
            "of 100 less than p99. Dashed: the longest that this class should wait.",
            (
                *_p50_p99(
                    "danzar_request_wait_seconds",
                    "request_class",
                    '{node=~"$node", request_class="$request_class"}',
                    "",
                ),
                Query(
                    "max(danzar_request_wait_bound_seconds"
                    '{node=~"$node", request_class="$request_class"})',
                    "bound",
                    is_limit=True,
                ),
            ),
            "s",
            width=24,
            repeat="request_class",
        ),
        Chart(
            "Time to the whole answer",
            "From asking to the end of the answer, waiting included.",
            _p50_p99("danzar_request_seconds", "model", _MODEL, "{{model}}"),
            "s",
        ),
        Chart(
            "Queue",
            "Requests that wait for a model, and those that run on it.",
            (
                Query(f"sum by (node, model) (danzar_queue_waiting{_MODEL})", "{{model}} waiting"),
                Query(f"sum by (node, model) (danzar_queue_running{_MODEL})", "{{model}} running"),
            ),
            "short",
        ),
        Chart(
            "Tokens",
            "Tokens per second: read (prompt), known from the turn before (reused) and written "
            "(generated).",
            (Query(_rate("danzar_tokens_total", "model, kind"), "{{model}} {{kind}}"),),
            "short",
        ),
        Chart(
            "Frames",
            "Pictures and frames per second that vision models looked at.",
            (Query(_rate("danzar_frames_total", "model"), "{{model}}"),),
            "short",
        ),
    ),
)

_MODELS = Section(
    "Models",
    (
        States(
            "Where the models are",
            "When which model was loaded, and on which card (or the CPU).",
            Query(f"danzar_model_loaded{_MODEL}", "{{node}} {{model}} on {{device}}"),
            ((1, "loaded", "blue"),),
            width=24,
        ),
        Chart(
            "Loads",
            "Loads that ended in each interval, by their outcome.",
            (Query(_counted("danzar_loads_total", "model, outcome"), "{{model}} {{outcome}}"),),
            "short",
            bars=True,
        ),
        Chart(
            "Evictions",
            "Models that had to leave in each interval, by the reason.",
            (Query(_counted("danzar_evictions_total", "model, reason"), "{{model}}: {{reason}}"),),
            "short",
            bars=True,
        ),
        Chart(
            "Time to load",
            "From the start of a load until the model can answer, over the past hour.",
            _p50_p99("danzar_load_seconds", "model", _MODEL, "{{model}}", "1h"),
            "s",
        ),
        Chart(
            "Error of the estimate",
            "How far what was booked was off what a model then took, at its last load. Over 25 % "
            "for five minutes is an alert.",
            (Query(f"danzar_estimate_error_ratio{_MODEL}", "{{node}} {{model}}"),),
            "percentunit",
            marks=((0.25, "orange"),),
        ),
        Chart(
            "Loaded ahead",
            "Loads that were made before anyone asked, in each interval: used (hit), left unused "
            "(wasted), or asked for and not foreseen (missed).",
            (Query(_counted("danzar_prefetch_total", "outcome", _NODE), "{{outcome}}"),),
            "short",
            bars=True,
        ),
        Chart(
            "Time to plan",
            "What one decision about where a model goes took.",
            _p50_p99("danzar_plan_seconds", "node", _NODE, "{{node}}"),
            "s",
        ),
    ),
)

_JOBS = Section(
    "Jobs and machines",
    (
        Chart(
            "Jobs that wait",
            "In the queue of each model.",
            (Query(f"sum by (model) (danzar_jobs_waiting{_MODEL})", "{{model}}"),),
            "short",
        ),
        Chart(
            "Jobs that ended",
            "In each interval, by their outcome.",
            (Query(_counted("danzar_jobs_total", "model, outcome"), "{{model}} {{outcome}}"),),
            "short",
            bars=True,
        ),
        States(
            "Machines",
            "Which machines give signs of life, as each of them sees it.",
            Query(f"danzar_node_up{_NODE}", "{{peer}}, seen from {{node}}"),
            ((0, "silent", "red"), (1, "up", "green")),
        ),
        States(
            "What is needed",
            "Each thing without which Danzar says that it is not ready.",
            Query(f"danzar_ready_check{_NODE}", "{{node}} {{check}}"),
            ((0, "missing", "red"), (1, "there", "green")),
        ),
    ),
)

_DANZAR = Section(
    "Danzar itself",
    (
        Chart(
            "Lag of the event loop",
            "How late the bot's loop ran, 99 of 100 times in the past minute. Over 100 ms for five "
            "minutes is an alert.",
            (Query(f"danzar_event_loop_lag_p99_seconds{_NODE}", "{{node}}"),),
            "s",
            marks=((0.05, "yellow"), (0.1, "red")),
        ),
        Chart(
            "Discord's latency",
            "From a heartbeat to the gateway's answer.",
            (Query(f"danzar_discord_latency_seconds{_NODE}", "{{node}}"),),
            "s",
        ),
        Chart(
            "Memory of the processes",
            "Host RAM of the bot and of each worker. A line that rises for hours is a leak.",
            (Query(f"danzar_process_resident_bytes{_NODE}", "{{node}} {{process}}"),),
            "bytes",
        ),
        Chart(
            "Weights kept warm",
            "Weights that are kept in host RAM so that a model comes back sooner.",
            (Query(f"danzar_warm_bytes{_NODE}", "{{node}}"),),
            "bytes",
        ),
        Chart(
            "Workers",
            "Worker processes that run, by engine, and models that went down with theirs.",
            (
                Query(f"danzar_workers{_NODE}", "{{node}} {{engine}}"),
                Query(_counted("danzar_worker_lost_total", "model"), "{{model}} lost"),
            ),
            "short",
        ),
        Chart(
            "Cost of being watched",
            "Processor time that one answer to Prometheus takes, and how long Prometheus waited.",
            (
                Query(f"danzar_scrape_seconds{_NODE}", "{{node}} processor"),
                Query('scrape_duration_seconds{job="danzar"}', "{{instance}} waited"),
            ),
            "s",
            marks=((0.005, "orange"),),
        ),
    ),
)

CHAT_VISION = Board(
    uid="danzar-chat-vision",
    title="Chat and vision",
    text="Who asks for what, how long it takes, which models run for it, and how Danzar itself is.",
    choices=(
        NODE,
        Choice("model", "Model", 'label_values(danzar_queue_waiting{node=~"$node"}, model)'),
        Choice(
            "request_class",
            "Asked for",
            'label_values(danzar_request_wait_bound_seconds{node=~"$node"}, request_class)',
        ),
    ),
    events=(EVICTION, INCIDENT),
    sections=(_NOW, _REQUESTS, _MODELS, _JOBS, _DANZAR),
)
