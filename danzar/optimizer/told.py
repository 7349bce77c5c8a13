"""What the optimizer did and refused, in words with numbers. Pure."""

from collections.abc import Mapping, Sequence

from danzar.core.batch_tuning import BatchView
from danzar.core.upkeep import TrimReport, TrimRow
from danzar.explain.model_text import amount


def trimmed_text(report: TrimReport, devices: Mapping[str, str]) -> str:
    """What each worker gave back, by ``devices`` (labels by UUID)."""
    if not report.rows:
        return "no worker runs, so there was nothing to give back"
    return "; ".join(_row_text(row, devices) for row in report.rows)


def over_limit_text(size: int, over: Sequence[BatchView], devices: Mapping[str, str]) -> str:
    """Why a batch size is refused."""
    tightest = min(over, key=lambda view: view.limit or 0)
    device = devices.get(tightest.device_uuid, tightest.device_uuid)
    return (
        f"a batch of {size} does not fit: {tightest.model} on {device} has room for "
        f"{tightest.limit} ({tightest.reason})"
    )


def _row_text(row: TrimRow, devices: Mapping[str, str]) -> str:
    where = f"{row.worker} on {devices.get(row.device_uuid, row.device_uuid)}"
    if row.error:
        return f"{where}: {row.error}"
    how = "started anew, " if row.recycled else ""
    freed = "an unknown amount" if row.freed_bytes is None else amount(row.freed_bytes)
    return f"{where}: {how}{freed} given back"
