"""The optimizer follows its settings while Danzar runs; see ``danzar.live.live_config``."""

from danzar.config.settings import Config
from danzar.live.live_config import Follower, Step
from danzar.optimizer.optimizer import MemoryOptimizer


def follow_optimizer(optimizer: MemoryOptimizer) -> Follower:
    """Prepares the step to other settings."""

    def follow(_old: Config, new: Config) -> Step:
        config = new.vram.optimizer

        async def step() -> None:
            if optimizer.config != config:
                await optimizer.configure(config)

        return step

    return follow
