"""Write the dashboards: ``python -m deploy.grafana.build``. A test keeps them up to date."""

from pathlib import Path

from deploy.grafana.chat_vision import CHAT_VISION
from deploy.grafana.gpu_memory import GPU_MEMORY
from deploy.grafana.panels import Board
from deploy.grafana.render import board_json

FOLDER = Path(__file__).parent / "dashboards"
FILES: dict[str, Board] = {
    "gpu-memory.json": GPU_MEMORY,
    "chat-and-vision.json": CHAT_VISION,
}


def main() -> None:
    """Write every dashboard's file."""
    for name, board in FILES.items():
        (FOLDER / name).write_text(board_json(board), encoding="utf-8")


if __name__ == "__main__":
    main()
