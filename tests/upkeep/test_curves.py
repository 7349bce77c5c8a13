"""What batches take is measured once for a machine, and learnt from every answer."""

import msgspec

from danzar.broker.curve_file import MOST_CURVES, CurveFile, CurveKey
from danzar.broker.curves import device_class
from danzar.core.batch_curve import BatchCurve, BatchPoint
from danzar.core.device import DeviceKind, DeviceSnapshot

KEY = CurveKey("abc", "{}", "cpu")
CURVE = BatchCurve((BatchPoint(1, 100, 5000, 0.1), BatchPoint(2, 100, None, 0.2)))


async def test_a_curve_outlives_a_restart(tmp_path):
    path = tmp_path / "data" / "curves.json"
    first = CurveFile(path)
    await first.read()
    assert first.curve(KEY) == BatchCurve()
    first.keep(KEY, CURVE)
    await first.write()
    second = CurveFile(path)
    await second.read()
    assert second.curve(KEY) == CURVE
    assert second.curve(CurveKey("abc", "{}", "NVIDIA L4")) == BatchCurve()


async def test_a_damaged_file_is_measured_anew(tmp_path):
    path = tmp_path / "curves.json"
    path.write_bytes(b"{nonsense")
    file = CurveFile(path)
    await file.read()
    assert file.curve(KEY) == BatchCurve()
    file.keep(KEY, CURVE)
    await file.write()
    assert msgspec.json.decode(path.read_bytes())


async def test_the_oldest_curves_are_forgotten(tmp_path):
    file = CurveFile(tmp_path / "curves.json")
    for number in range(MOST_CURVES + 5):
        file.keep(CurveKey(str(number), "{}", "cpu"), CURVE)
    assert file.curve(CurveKey("0", "{}", "cpu")) == BatchCurve()
    assert file.curve(CurveKey(str(MOST_CURVES + 4), "{}", "cpu")) == CURVE


def card(**changes):
    known = {
        "uuid": "GPU-1",
        "index": 0,
        "name": "NVIDIA L4",
        "kind": DeviceKind.CUDA,
        "total_bytes": 1,
        "free_bytes": 1,
        "used_bytes": 0,
        "utilisation_pct": None,
        "temperature_c": None,
        "power_w": None,
        "processes": (),
        "simulated": False,
        "sampled_at_s": 0.0,
    }
    return DeviceSnapshot(**known | changes)


def test_a_simulated_card_takes_what_the_cpu_takes():
    assert device_class(card()) == "NVIDIA L4"
    assert device_class(card(simulated=True)) == "cpu"
    assert device_class(None) == "cpu"
