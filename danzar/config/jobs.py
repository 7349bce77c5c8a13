"""``jobs`` in ``bot_config.yaml``: the queue of jobs."""

from pydantic import Field

from danzar.config.base import PositiveSeconds, Seconds, Settings, Size, must_be
from danzar.units import GIB, MIB

MEMORY_URL = "memory://"
_URL = r"^(memory|redis|rediss|unix)://\S*$"
_DAY_S = 86_400.0


class JobsConfig(Settings):
    """How jobs are accepted, kept and spread over machines. A password is in no file of these."""

    enabled: bool = Field(True, description="False: nothing takes or runs jobs.")
    url: str = Field(
        MEMORY_URL,
        pattern=_URL,
        json_schema_extra=must_be("memory://, rediss://HOST:PORT/0, redis://127.0.0.1:PORT/0"),
        description="Where the queue is: memory:// is this process alone.",
    )
    keys: str | None = Field(
        None, description="Folder that `danzar keys init` made, for a queue over TLS."
    )
    sync: bool = Field(
        True,
        description="Accepted jobs outlive a power cut; false: only a crash, and are quicker in.",
    )
    max_waiting: int = Field(
        10_000, ge=1, le=10_000_000, description="Jobs that may wait for one model."
    )
    seconds_per_priority: PositiveSeconds = Field(
        10.0, description="Seconds of waiting that one step of priority is worth."
    )
    keep_s: PositiveSeconds = Field(
        7 * _DAY_S, le=365 * _DAY_S, description="How long a job and its result are kept."
    )
    keep_size: Size = Field(
        2 * GIB, gt=0, description="Results beyond this size go early, the oldest first."
    )
    max_result: Size = Field(64 * MIB, gt=0, description="A job with a larger result fails.")
    shared_s: PositiveSeconds = Field(
        600.0, description="How long other machines may read a result after its job ended."
    )
    lease_s: float = Field(
        20.0, ge=0.2, le=3600, description="A job whose machine is silent so long starts again."
    )
    retry_delay_s: Seconds = Field(
        2.0, description="Wait before the second start; it doubles with each."
    )
    place_wait_s: Seconds = Field(
        600.0, description="How long a job waits for a device with room before it fails."
    )
    drain_s: Seconds = Field(
        300.0, description="How long running jobs may go on when Danzar is stopped."
    )
