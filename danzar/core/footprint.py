"""What one loaded model takes on one device. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that a model needs on a device, by what it is for.

    Attributes:
        weights_bytes: The model's parameters.
        kv_cache_bytes: Keys and values of the whole context; 0 for models without one.
        activations_bytes: The largest set of intermediate results at one moment.
        cuda_context_bytes: What the driver and the CUDA libraries take per process; 0 in host RAM.
    """

    weights_bytes: int
    kv_cache_bytes: int = 0
    activations_bytes: int = 0
    cuda_context_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """What a lease for this model books."""
        return (
            self.weights_bytes
            + self.kv_cache_bytes
            + self.activations_bytes
            + self.cuda_context_bytes
        )
