"""The dashboard "GPU memory": the cards, who holds what on them, and what was done about it."""

from deploy.grafana.events import EVICTION, INCIDENT, NODE
from deploy.grafana.panels import (
    Bars,
    Board,
    Chart,
    Choice,
    Figure,
    Mark,
    Query,
    Section,
    States,
)

_CARD = '{node=~"$node", device=~"$device"}'
_NODE = '{node=~"$node"}'
_EACH = "{{node}} {{device}}"
_FULL: tuple[Mark, ...] = ((80, "yellow"), (90, "orange"), (95, "red"))

_NOW = Section(
    "Now",
    (
        Figure(
            "Cards",
            "GPUs whose figures are read.",
            Query(f"count(vlm_memory_total_bytes{_CARD})", "cards"),
        ),
        Figure(
            "Fullest card",
            "The fullest of the chosen cards. Alerts come at 90 % and 95 %.",
            Query(f"max(vlm_memory_usage_percent{_CARD})", "full"),
            "percent",
            _FULL,
        ),
        Figure(
            "Free on the emptiest",
            "What the driver would still hand out on the card that has most.",
            Query(f"max(vlm_memory_free_bytes{_CARD})", "free"),
            "bytes",
        ),
        Figure(
            "Other programs",
            "GPU memory that games, browsers and the driver hold, all chosen cards together.",
            Query(f"sum(danzar_device_foreign_bytes{_CARD})", "other programs"),
            "bytes",
        ),
        Figure(
            "Quarantined",
            "Memory that did not come back after an unload, and nobody is given. Should be 0.",
            Query(f"sum(danzar_device_quarantined_bytes{_CARD})", "quarantined"),
            "bytes",
            ((1, "red"),),
        ),
        Figure(
            "Age of the figures",
            "Since the cards were last read. Over 30 s, nothing is placed by them; an alert comes.",
            Query(f"max(danzar_telemetry_age_seconds{_NODE})", "age"),
            "s",
            ((10, "orange"), (30, "red")),
        ),
        Bars(
            "Cards by name",
            "How full each card is now, with the name that it gives itself.",
            Query(
                f"vlm_memory_usage_percent{_CARD} "
                "* on (node, gpu) group_left (name) danzar_device_info",
                "{{node}} {{device}} {{name}}",
            ),
            "percent",
            100,
            _FULL,
        ),
    ),
)

_CARDS = Section(
    "Cards",
    (
        Chart(
            "GPU Memory Usage",
            "How full each card is, whoever fills it. A warning at 80 %, alerts at 90 and 95 %.",
            (Query(f"vlm_memory_usage_percent{_CARD}", _EACH),),
            "percent",
            most=100,
            marks=_FULL,
        ),
        Chart(
            "GPU Memory Details",
            "Used and free memory of each card; dashed: all that it has.",
            (
                Query(f"vlm_memory_used_bytes{_CARD}", f"{_EACH} used"),
                Query(f"vlm_memory_free_bytes{_CARD}", f"{_EACH} free"),
                Query(f"vlm_memory_total_bytes{_CARD}", f"{_EACH} total", is_limit=True),
            ),
            "bytes",
        ),
        Chart(
            "GPU Utilization",
            "Share of time in which the card computed anything, for Danzar or for others.",
            (Query(f"vlm_gpu_utilization_percent{_CARD}", _EACH),),
            "percent",
            most=100,
        ),
        Chart(
            "GPU Temperature",
            "Of the chip. Most cards slow down from 83 to 87 °C on.",
            (Query(f"vlm_gpu_temperature_celsius{_CARD}", _EACH),),
            "celsius",
            marks=((80, "orange"), (87, "red")),
        ),
        Chart(
            "GPU Power",
            "What each card draws.",
            (Query(f"vlm_gpu_power_usage_watts{_CARD}", _EACH),),
            "watt",
        ),
        States(
            "Pressure",
            "What Danzar makes of how full a card is: from warning on it makes room for others, "
            "at critical also busy models leave.",
            Query(f"danzar_device_pressure_level{_CARD}", _EACH),
            (
                (0, "normal", "green"),
                (1, "warning", "yellow"),
                (2, "critical", "orange"),
                (3, "about to run out", "red"),
            ),
        ),
    ),
)

_HELD = Section(
    "Who holds it",
    (
        Chart(
            "Held on $device",
            "Stacked: what each model has booked and what other programs hold. Dashed: what is "
            "kept for a purpose, and all that the card has.",
            (
                Query(
                    "sum by (node, model) "
                    '(danzar_device_leased_bytes{node=~"$node", device="$device"})',
                    "{{node}} {{model}}",
                ),
                Query(
                    'danzar_device_foreign_bytes{node=~"$node", device="$device"}',
                    "{{node}} other programs",
                ),
                Query(
                    'danzar_device_reserved_bytes{node=~"$node", device="$device"}',
                    "{{node}} kept for {{purpose}}",
                    is_limit=True,
                ),
                Query(
                    'vlm_memory_total_bytes{node=~"$node", device="$device"}',
                    "{{node}} total",
                    is_limit=True,
                ),
            ),
            "bytes",
            stacked=True,
            width=24,
            repeat="device",
        ),
        States(
            "Models on the cards",
            "When which model was loaded, and where.",
            Query(f"danzar_model_loaded{_CARD}", "{{node}} {{device}} {{model}}"),
            ((1, "loaded", "blue"),),
            width=24,
        ),
    ),
)

_DONE = Section(
    "What is done about it",
    (
        Chart(
            "Batch Size Optimization",
            "Pictures that a model computes at once, and how many would be best now.",
            (
                Query(f"vlm_current_batch_size{_CARD}", f"{_EACH} {{{{model}}}} now"),
                Query(
                    f"vlm_optimal_batch_size{_CARD}", f"{_EACH} {{{{model}}}} best", is_limit=True
                ),
            ),
            "short",
        ),
        Chart(
            "Memory Optimization Actions",
            "What was done in each interval: attempts to free memory, those that succeeded, caches "
            "given back, and changes of batch sizes.",
            (
                Query(
                    f"sum(increase(vlm_memory_optimizations_total{_NODE}[$__rate_interval]))",
                    "attempts",
                ),
                Query(
                    f"sum(increase(vlm_memory_optimizations_success_total{_NODE}[$__rate_interval]))",
                    "succeeded",
                ),
                Query(
                    f"sum(increase(vlm_memory_cleanups_total{_NODE}[$__rate_interval]))",
                    "caches given back",
                ),
                Query(
                    f"sum(increase(vlm_batch_size_optimizations_total{_NODE}[$__rate_interval]))",
                    "batch sizes changed",
                ),
            ),
            "short",
            bars=True,
        ),
        Chart(
            "Memory Fragmentation",
            "Share of what torch holds on the card that no tensor uses. Over 30 % for five minutes "
            "is an alert. No line: no worker that uses torch is loaded there.",
            (Query(f"vlm_memory_fragmentation_percent{_CARD}", _EACH),),
            "percent",
            most=100,
            marks=((30, "orange"),),
        ),
        Chart(
            "Memory Optimization Success Rate",
            "Attempts to free memory that succeeded, of all in the past hour. No line: there were "
            "none.",
            (
                Query(
                    "sum by (node) "
                    f"(increase(vlm_memory_optimizations_success_total{_NODE}[1h])) / "
                    f"(sum by (node) (increase(vlm_memory_optimizations_total{_NODE}[1h])) > 0)",
                    "{{node}}",
                ),
            ),
            "percentunit",
            most=1,
        ),
        Chart(
            "Memory Freed Over Time",
            "Bytes per second that came back by what was done, as far as it could be measured.",
            (
                Query(
                    f"sum by (node) (rate(vlm_memory_freed_bytes_total{_NODE}[$__rate_interval]))",
                    "{{node}}",
                ),
            ),
            "binBps",
            bars=True,
        ),
        Chart(
            "Quarantined memory",
            "What did not come back after an unload. Over two minutes is an alert.",
            (Query(f"danzar_device_quarantined_bytes{_CARD}", _EACH),),
            "bytes",
        ),
    ),
)

GPU_MEMORY = Board(
    uid="danzar-gpu-memory",
    title="GPU memory",
    text="How full the cards are, who holds what on them, and what Danzar does about it.",
    choices=(
        NODE,
        Choice("device", "Card", 'label_values(vlm_memory_total_bytes{node=~"$node"}, device)'),
    ),
    events=(EVICTION, INCIDENT),
    sections=(_NOW, _CARDS, _HELD, _DONE),
)
