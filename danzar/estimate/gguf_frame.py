"""What every operation of a graph has at hand: the model's part, the settings, the inputs. Pure."""

from dataclasses import dataclass, field

from danzar.estimate.arena import Tape
from danzar.estimate.gguf_layers import Layer
from danzar.estimate.gguf_settings import GgufSettings, KvType, cached_tokens, is_quantised

FLOAT_BYTES = 4
HALF_BYTES = 2
_INDEX_BYTES = 8
# Quantised caches are turned by matrices of at least this side, if the heads can be divided so.
_LEAST_TURNED = 64


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model that one device computes.

    Attributes:
        layers: Those on the device.
        embedding_width: Numbers per token between layers.
        vocabulary: Words that the output chooses from; 0 where the output is elsewhere.
        widest: The largest ``value_width`` of all layers of the model.
        window_tokens: What layers with a window see.
    """

    layers: tuple[Layer, ...]
    embedding_width: int
    vocabulary: int
    widest: int
    window_tokens: int | None = None


@dataclass(slots=True)
class Inputs:
    """What layers read, as numbers on the tape; apart for windowed layers.

    Attributes:
        masks: Which tokens each token sees.
        key_places: Where in the cache the batch's keys go.
        value_places: The same for values.
        key_turns: The matrix that keys are turned by, as far as they are.
        value_turns: The same for values.
        chosen: Which tokens get an output.
    """

    masks: dict[bool, int] = field(default_factory=dict)
    key_places: dict[bool, int] = field(default_factory=dict)
    value_places: dict[bool, int] = field(default_factory=dict)
    key_turns: dict[bool, int] = field(default_factory=dict)
    value_turns: dict[bool, int] = field(default_factory=dict)
    chosen: int = 0


class Frame:
    """One graph that is being written down.

    Attributes:
        tape: Its operations so far.
        tokens: How many are computed.
    """

    def __init__(self, part: Part, settings: GgufSettings) -> None:
        self.part = part
        self.settings = settings
        self.tape = Tape()
        self.inputs = Inputs()
        self.tokens = settings.tokens

    @property
    def hidden_bytes(self) -> int:
        """The state between layers."""
        return self.floats(self.part.embedding_width)

    def floats(self, width: int) -> int:
        """Bytes of ``width`` numbers for each token."""
        return width * self.tokens * FLOAT_BYTES

    def kept_tokens(self, layer: Layer) -> int:
        """How many tokens of a sequence a layer's cache holds."""
        return cached_tokens(layer.is_windowed, self.settings, self.part.window_tokens)

    def choose(self) -> None:
        """From here on only those tokens count whose next word is asked for: one a sequence."""
        self.tokens = min(self.tokens, self.settings.sequences)

    def begin(self) -> int:
        """Enter everything that comes from outside; returns the first hidden state."""
        word_bytes = self.floats(1)
        words = self.tape.enter(word_bytes)
        self.tape.enter(self.hidden_bytes)  # for pictures' embeddings; nothing reads it else
        self.tape.enter(word_bytes)  # positions
        self.inputs.chosen = self.tape.enter(self.settings.sequences * FLOAT_BYTES)
        for windowed in dict.fromkeys(self._kinds()):
            self._enter_mask(windowed)
            self._enter_turns(windowed)
        return self.tape.put(self.hidden_bytes, words)

    def _kinds(self) -> list[bool]:
        """Of its layers; the host without any makes the masks for the cards."""
        if self.part.layers or self.part.vocabulary:
            return [layer.is_windowed for layer in self.part.layers]
        return [False, True] if self.part.window_tokens else [False]

    def _enter_mask(self, windowed: bool) -> None:
        flash, tokens = self.settings.flash_attention, self.settings.tokens
        kept = cached_tokens(windowed, self.settings, self.part.window_tokens)
        number_bytes = HALF_BYTES if flash else FLOAT_BYTES
        places = 1 if flash else self.part.widest
        inputs, tape = self.inputs, self.tape
        inputs.masks[windowed] = tape.enter(kept * tokens * number_bytes)
        inputs.key_places[windowed] = tape.enter(tokens * _INDEX_BYTES)
        inputs.value_places[windowed] = tape.enter(tokens * places * _INDEX_BYTES)

    def _enter_turns(self, windowed: bool) -> None:
        """Each of the two caches, with windows and without, has matrices of its own."""
        attending = [layer for layer in self.part.layers if layer.kv_heads]
        if not attending or attending[0].latent:
            return
        keys = {layer.key_head_width for layer in attending}
        values = {layer.value_head_width for layer in attending}
        side = _LEAST_TURNED
        while min(keys) % (2 * side) == 0:
            side *= 2
        settings, inputs, enter = self.settings, self.inputs, self.tape.enter
        if _turns(settings.key_type, keys):
            inputs.key_turns[windowed] = enter(side * side * FLOAT_BYTES)
        if _turns(settings.value_type, values):
            inputs.value_turns[windowed] = enter(_LEAST_TURNED * _LEAST_TURNED * FLOAT_BYTES)


def _turns(kind: KvType, widths: set[int]) -> bool:
    return is_quantised(kind) and len(widths) == 1 and min(widths) % _LEAST_TURNED == 0
