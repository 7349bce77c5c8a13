"""Every metric that Danzar tells: its name, type, labels and meaning, in one table. Pure.

The collector, the documentation and the tests all read it here. Every metric has the label ``node``
besides those in its row. What is not known has no sample: never 0.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A metric's type, as Prometheus calls it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric; each is there once.

    Attributes:
        name: As it is written in a query; a counter's ends in ``_total``.
        text: What it tells, with its unit, as one sentence without its stop.
        labels: Beside ``node``, in this order.
        buckets: Upper bounds of a histogram's buckets.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


NODE = "node"
DEVICE = ("device", "gpu", "simulated")
"""``cuda:N`` or ``cpu``, the UUID, and whether the card is invented (``true`` or ``false``)."""

# The bounds on waiting that come with Danzar are among them: 30, 45, 90, 120, 600.
_WAITS_S = (0.05, 0.25, 1.0, 5.0, 15.0, 30.0, 45.0, 90.0, 120.0, 300.0, 600.0)
_RUNS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_LOADS_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
_PLANS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, text, labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, labels, buckets)


# --- the cards, under the seed's names: GPUs only ------------------------------------------------
USAGE_PERCENT = _gauge(
    "vlm_memory_usage_percent", "Share of the card's memory in use by anyone, 0 to 100", *DEVICE
)
TOTAL_BYTES = _gauge("vlm_memory_total_bytes", "The card's memory in bytes", *DEVICE)
USED_BYTES = _gauge("vlm_memory_used_bytes", "Memory of the card in use by anyone, bytes", *DEVICE)
FREE_BYTES = _gauge(
    "vlm_memory_free_bytes", "Memory that the card's driver would still hand out, bytes", *DEVICE
)
UTILIZATION_PERCENT = _gauge(
    "vlm_gpu_utilization_percent", "Share of time that the card computed, 0 to 100", *DEVICE
)
TEMPERATURE_CELSIUS = _gauge("vlm_gpu_temperature_celsius", "The card's temperature", *DEVICE)
POWER_WATTS = _gauge("vlm_gpu_power_usage_watts", "What the card draws", *DEVICE)
FRAGMENTATION_PERCENT = _gauge(
    "vlm_memory_fragmentation_percent",
    "Share of torch's memory on the card that no tensor uses, 0 to 100; the worst worker's",
    *DEVICE,
)
CURRENT_BATCH = _gauge(
    "vlm_current_batch_size", "Pictures that the loaded model computes at once", *DEVICE, "model"
)
OPTIMAL_BATCH = _gauge(
    "vlm_optimal_batch_size", "Pictures at once that would be best now", *DEVICE, "model"
)

# --- the optimizer, under the seed's names -------------------------------------------------------
OPTIMIZATIONS = _counter(
    "vlm_memory_optimizations_total", "Things done about memory, by themselves or asked for"
)
OPTIMIZATIONS_SUCCESS = _counter(
    "vlm_memory_optimizations_success_total", "Those of them that succeeded"
)
CLEANUPS = _counter(
    "vlm_memory_cleanups_total", "Times that a worker was made to give back what it cached"
)
BATCH_OPTIMIZATIONS = _counter(
    "vlm_batch_size_optimizations_total", "Changes of a model's batch size"
)
FREED_BYTES = _counter(
    "vlm_memory_freed_bytes_total", "Bytes that came back by that, as far as it was measured"
)

# --- the cards and host RAM, as the ledger sees them ---------------------------------------------
DEVICE_INFO = _gauge("danzar_device_info", "Always 1; what the card is called", *DEVICE, "name")
RESERVED_BYTES = _gauge(
    "danzar_device_reserved_bytes", "What is kept for a purpose, bytes", *DEVICE, "purpose"
)
LEASED_BYTES = _gauge(
    "danzar_device_leased_bytes",
    "What a model has booked, bytes; state: claimed, resident, releasing or quarantined",
    *DEVICE,
    "model",
    "purpose",
    "state",
)
FOREIGN_BYTES = _gauge(
    "danzar_device_foreign_bytes", "In use by other programs and by the driver, bytes", *DEVICE
)
QUARANTINED_BYTES = _gauge(
    "danzar_device_quarantined_bytes",
    "What did not come back after an unload, and nobody gets until then, bytes",
    *DEVICE,
)
PRESSURE_LEVEL = _gauge(
    "danzar_device_pressure_level",
    "How full the card is: 0 normal, 1 warning, 2 critical, 3 about to run out",
    *DEVICE,
)

# --- models --------------------------------------------------------------------------------------
MODEL_LOADED = _gauge(
    "danzar_model_loaded",
    "1 for a model that is loaded, on each device that holds a part of it; else absent",
    *DEVICE,
    "model",
)
MODEL_FAILED = _gauge(
    "danzar_model_failed",
    "1 for a model whose load failed or whose worker died; else absent",
    "model",
)
QUEUE_WAITING = _gauge("danzar_queue_waiting", "Requests that wait for a model", "model")
QUEUE_RUNNING = _gauge("danzar_queue_running", "Requests that run on a model", "model")
QUEUE_LIMIT = _gauge("danzar_queue_limit", "The most requests that may wait for a model", "model")
WAIT_BOUND = _gauge(
    "danzar_request_wait_bound_seconds",
    "How long a request of this class should wait at most, as configured, seconds",
    "request_class",
)
REQUESTS = _counter(
    "danzar_requests_total",
    "Requests that ended; outcome: answered, failed, cancelled, refused or out_of_memory",
    "model",
    "request_class",
    "outcome",
)
REQUEST_WAIT = _histogram(
    "danzar_request_wait_seconds",
    "From asking to the start on a worker, seconds",
    _WAITS_S,
    "request_class",
)
REQUEST_SECONDS = _histogram(
    "danzar_request_seconds",
    "From asking to the end of an answer, seconds",
    _RUNS_S,
    "model",
    "request_class",
)
TOKENS = _counter(
    "danzar_tokens_total",
    "Tokens of finished answers; kind: prompt (computed), reused (of the prompt, known before) or "
    "generated",
    "model",
    "kind",
)
FRAMES = _counter(
    "danzar_frames_total", "Pictures and frames that a vision model looked at", "model"
)
LOADS = _counter(
    "danzar_loads_total",
    "Loads that ended; outcome: loaded, out_of_memory, too_full, error or cancelled",
    "model",
    *DEVICE,
    "outcome",
)
LOAD_SECONDS = _histogram(
    "danzar_load_seconds", "What loading a model took, seconds", _LOADS_S, "model"
)
EVICTIONS = _counter(
    "danzar_evictions_total",
    "Unloads that began; reason: idle, room, other_programs, recycled, asked, out_of_memory, "
    "too_large, spilled, better_place or not_needed",
    "model",
    *DEVICE,
    "reason",
)
PLAN_SECONDS = _histogram(
    "danzar_plan_seconds", "What making one placement plan took, seconds", _PLANS_S
)
ESTIMATE_ERROR = _gauge(
    "danzar_estimate_error_ratio",
    "How far the estimate was off at the model's last measured load: |measured - booked| / "
    "measured",
    "model",
)
PREFETCH = _counter(
    "danzar_prefetch_total",
    "Loads ahead by what became of them; outcome: hit, wasted or missed",
    "outcome",
)
WARM_BYTES = _gauge("danzar_warm_bytes", "Weights that are kept in host RAM, bytes")

# --- jobs and machines ---------------------------------------------------------------------------
JOBS_WAITING = _gauge("danzar_jobs_waiting", "Jobs in the queue of a model", "model")
JOBS = _counter(
    "danzar_jobs_total",
    "Jobs that ended; outcome: completed, failed or cancelled",
    "model",
    "outcome",
)
NODES = _gauge("danzar_nodes", "Machines that are alive, this one among them")
NODE_UP = _gauge(
    "danzar_node_up", "1 for a machine that gives signs of life, 0 for one that went silent", "peer"
)

# --- Danzar itself -------------------------------------------------------------------------------
BUILD_INFO = _gauge("danzar_build_info", "Always 1; which version runs", "version")
READY = _gauge("danzar_ready", "1 where everything that is needed is there, else 0")
READY_CHECK = _gauge("danzar_ready_check", "The same for each thing that is needed", "check")
TELEMETRY_AGE = _gauge(
    "danzar_telemetry_age_seconds", "Age of the newest figures of the cards, seconds"
)
DISCORD_CONNECTED = _gauge(
    "danzar_discord_connected", "1 while the gateway is connected, else 0; absent without Discord"
)
DISCORD_LATENCY = _gauge(
    "danzar_discord_latency_seconds", "From a heartbeat to the gateway's answer, seconds"
)
LOOP_LAG = _gauge(
    "danzar_event_loop_lag_p99_seconds", "How late the event loop is, 99th percentile, seconds"
)
INCIDENTS_OPEN = _gauge("danzar_incidents_open", "Incidents that last, by their level", "level")
INCIDENTS = _counter(
    "danzar_incidents_total",
    "Incidents that began; kind: what its key begins with (memory, telemetry, leak, ...)",
    "kind",
)
WORKERS = _gauge("danzar_workers", "Worker processes that run", "engine")
WORKER_LOST = _counter(
    "danzar_worker_lost_total", "Times that a model went down with its worker process", "model"
)
RESIDENT_BYTES = _gauge(
    "danzar_process_resident_bytes",
    "Host RAM of a process (RSS), bytes; process: bot, or a worker with its device",
    "process",
)
PROMPT_CACHE_BYTES = _gauge(
    "danzar_prompt_cache_bytes",
    "Host RAM of the conversations that a chat model keeps while others are answered, bytes",
    "model",
)
LOG_DROPPED = _counter(
    "danzar_log_lines_dropped_total",
    "Lines of the log that were lost: the disk was too slow or full",
)
SCRAPE_SECONDS = _gauge(
    "danzar_scrape_seconds", "Processor time that the last answer here took, seconds"
)

METRICS: tuple[Metric, ...] = tuple(v for v in tuple(globals().values()) if isinstance(v, Metric))
"""All of them, in the order above."""
