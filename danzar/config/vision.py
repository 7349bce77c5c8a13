"""``vision_config.yaml``: the seed's file, key for key, and nothing that it does not know.

The seed's ``*_gb`` keys mean GiB.
"""

from pydantic import Field

from danzar.config.base import DeviceName, Fraction, PositiveSeconds, Settings


class GpuMemorySettings(Settings):
    """Which device is whose, and how much of it."""

    main_llm_device: DeviceName = Field("cuda:0", description="Device of the chat model.")
    main_llm_memory_reservation_gb: float = Field(
        8.0, ge=0, description="GiB kept free for the chat model, loaded or not."
    )
    vision_device: DeviceName = Field("cuda:1", description="First choice for vision models.")
    vision_memory_limit_gb: float = Field(
        2.0, gt=0, description="The most that vision models may take on one device, GiB."
    )
    fallback_to_cpu: bool = Field(True, description="Use the CPU where no GPU has room.")
    cpu_fallback_threshold_gb: float = Field(
        1.0, ge=0, description="A GPU with less than this free is not used for vision, GiB."
    )
    enable_memory_monitoring: bool = Field(True, description="Watch and warn in the background.")
    memory_check_interval: PositiveSeconds = Field(30.0, description="Seconds between checks.")


class ClipSettings(Settings):
    """CLIP: how well the profile's concepts describe a picture."""

    enabled: bool = Field(True, description="Score pictures against the profile's concepts.")
    processing_fps: float = Field(1.0, gt=0, le=30, description="Frames per second and watcher.")
    model_name: str = Field("ViT-B/32", description="A name in models.yaml, or an open_clip name.")
    device: DeviceName = Field("cuda:1", description="Overridden by the memory manager.")
    confidence_threshold: Fraction = Field(0.3, description="Insights below this are not told.")
    max_insights: int = Field(10, ge=1, le=100, description="Concepts told per picture, at most.")


class YoloSettings(Settings):
    """YOLO: boxes around what the profile's game shows."""

    enabled: bool = Field(True, description="Look for objects.")
    model_path: str = Field("models/yolo-nano.pt", description="A file listed in models.yaml.")
    confidence_threshold: Fraction = Field(0.5, description="Boxes below this are not told.")
    device: DeviceName = Field("cuda:1", description="Overridden by the memory manager.")
    classes: tuple[str, ...] = Field(
        ("health_bar", "minimap", "boss", "player", "enemy"),
        description="Labels that are told; the model must know them.",
    )


class PerformanceSettings(Settings):
    """Limits inside the vision worker."""

    gpu_memory_fraction: float = Field(
        0.3, gt=0, le=1, description="Share of a GPU that torch may allocate in the vision worker."
    )


class VisionConfig(Settings):
    """The whole of ``vision_config.yaml``."""

    gpu_memory: GpuMemorySettings = GpuMemorySettings()
    clip: ClipSettings = ClipSettings()
    yolo: YoloSettings = YoloSettings()
    performance: PerformanceSettings = PerformanceSettings()
