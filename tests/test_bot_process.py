"""The bot's process imports no model library: a crash in native code must not take it offline."""

import subprocess
import sys

HEAVY = ("torch", "llama_cpp", "ultralytics", "open_clip", "rapidocr_onnxruntime", "cv2", "av")


def test_everything_that_the_bot_imports_is_light():
    script = (
        "import sys, danzar.app, danzar.commands.demo\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
        "import psutil; print(psutil.Process().memory_info().rss)"
    )
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.splitlines()
    assert out[0] == "[]"
    assert int(out[1]) < 150 * 1024**2
