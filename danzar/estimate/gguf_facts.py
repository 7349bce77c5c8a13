"""Numbers from a GGUF file's metadata, checked."""

from danzar.errors import ModelRefused
from danzar.estimate.gguf_header import GgufHeader, Value

_MAX_DIMENSION = 1 << 32


class Facts:
    """Numbers under the architecture's own prefix, or a refusal."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        architecture = header.metadata.get("general.architecture")
        self.architecture = architecture if isinstance(architecture, str) else ""

    def number(self, name: str, default: int | None = None) -> int:
        """A number above 0."""
        value = self.value(name)
        if value is None and default is not None:
            return default
        return self._checked(name, value, 1)

    def count(self, name: str) -> int:
        """A number that may be 0, which it is where it is not given."""
        value = self.value(name)
        return 0 if value is None else self._checked(name, value, 0)

    def per_layer(self, name: str, count: int, default: list[int] | None = None) -> list[int]:
        """A number for each layer; the file has one for all, or a list."""
        value = self.value(name)
        if value is None and default is not None:
            return default
        values = list(value) if isinstance(value, tuple) else [value] * count
        if len(values) < count:
            raise self.refuse(f"{name} has {len(values)} values for {count} layers")
        return [self._checked(name, v, 0) for v in values[:count]]

    def value(self, name: str) -> Value | None:
        """Whatever stands there."""
        return self.header.metadata.get(f"{self.architecture}.{name}")

    def refuse(self, what: str) -> ModelRefused:
        """The refusal of a file that describes no model."""
        return ModelRefused(
            f"{self.header.path.name} describes no model that can be estimated: {what}"
        )

    def _checked(self, name: str, value: Value | None, least: int) -> int:
        if value is None:
            raise self.refuse(f"it has no {self.architecture}.{name}")
        if not isinstance(value, int) or not least <= value < _MAX_DIMENSION:
            raise self.refuse(f"{self.architecture}.{name} is {value!r}")
        return value
