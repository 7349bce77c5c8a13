"""Attention as llama.cpp computes it, operation by operation. Pure."""

from danzar.estimate.gguf_frame import HALF_BYTES, Frame
from danzar.estimate.gguf_layers import Latent, Layer
from danzar.estimate.gguf_settings import row_bytes


def attention(frame: Frame, layer: Layer, hidden: int) -> int:
    """From the hidden state to what attention adds to it."""
    normed = frame.tape.put(frame.hidden_bytes, hidden)
    if not layer.kv_heads:
        return _without_attention(frame, layer, normed)
    if layer.latent:
        mixed = _latent_attention(frame, layer, layer.latent, normed)
    else:
        queries, keys, values = _queries_keys_values(frame, layer, normed)
        _store(frame, layer, keys, values)
        mixed = _look_up(frame, layer, queries)
        mixed_bytes = frame.floats(layer.heads * layer.value_head_width)
        mixed = _turned(frame, _value_turn(frame, layer), mixed, mixed_bytes)
    return frame.tape.put(frame.hidden_bytes, mixed)


def _without_attention(frame: Frame, layer: Layer, normed: int) -> int:
    """One matrix instead. Recurrent layers widen what they work on; how far is not exact."""
    if layer.state_bytes:
        wide_bytes = frame.floats(2 * frame.part.embedding_width)
        normed = frame.tape.put(wide_bytes, frame.tape.put(wide_bytes, normed))
    return frame.tape.put(frame.hidden_bytes, normed)


def _queries_keys_values(frame: Frame, layer: Layer, normed: int) -> tuple[int, int, int]:
    tape, key_turn, value_turn = frame.tape, _key_turn(frame, layer), _value_turn(frame, layer)
    query_bytes = frame.floats(layer.heads * layer.key_head_width)
    key_bytes, value_bytes = frame.floats(layer.key_width), frame.floats(layer.value_width)
    if layer.fused:
        every = tape.put(query_bytes + key_bytes + value_bytes, normed)
        queries = _turned(frame, key_turn, tape.put(query_bytes, every), query_bytes)
        keys = _turned(frame, key_turn, tape.put(key_bytes, every), key_bytes)
        return queries, keys, _turned(frame, value_turn, every, value_bytes)
    queries = _placed(frame, key_turn, query_bytes, normed)
    if frame.part.window_tokens:
        keys = _placed(frame, key_turn, key_bytes, normed)
        return queries, keys, _turned(frame, value_turn, tape.put(value_bytes, normed), value_bytes)
    values = _turned(frame, value_turn, tape.put(value_bytes, normed), value_bytes)
    return queries, _placed(frame, key_turn, key_bytes, normed), values


def _placed(frame: Frame, turn: int | None, size_bytes: int, normed: int) -> int:
    """Queries or keys, with their tokens' positions worked in, which makes a copy."""
    raw = frame.tape.put(size_bytes, normed)
    placed = frame.tape.put(size_bytes, raw)
    return _turned(frame, turn, placed, size_bytes)


def _key_turn(frame: Frame, layer: Layer) -> int | None:
    return frame.inputs.key_turns.get(layer.is_windowed)


def _value_turn(frame: Frame, layer: Layer) -> int | None:
    return frame.inputs.value_turns.get(layer.is_windowed)


def _turned(frame: Frame, turn: int | None, what: int, size_bytes: int) -> int:
    """Multiplied by a small matrix, where the cache is quantised."""
    return what if turn is None else frame.tape.put(size_bytes, turn, what)


def _store(frame: Frame, layer: Layer, keys: int, values: int | None) -> None:
    """Copy into the cache, which lies elsewhere."""
    tape, inputs, widest = frame.tape, frame.inputs, frame.part.widest
    tape.put(0, keys, inputs.key_places[layer.is_windowed])
    if values is None:
        return
    copies = layer.fused or layer.value_width < widest
    if copies and not frame.settings.flash_attention:
        values = tape.put(frame.floats(widest), values)
    tape.put(0, values, inputs.value_places[layer.is_windowed])


def _look_up(frame: Frame, layer: Layer, queries: int) -> int:
    """Compare queries with all keys, and mix the values."""
    width = layer.latent.value_width if layer.latent else layer.value_head_width
    mixed_bytes = frame.floats(layer.heads * width)
    if frame.settings.flash_attention:
        return _look_up_at_once(frame, layer, queries, mixed_bytes)
    tape, kept = frame.tape, frame.kept_tokens(layer)
    # Of latent attention the values are a part of the keys, laid on their side in a copy.
    rank = layer.latent.rank if layer.latent else 0
    sequences = frame.settings.sequences
    row = row_bytes(frame.settings.key_type, rank)
    aside = tape.put(row * kept * sequences) if rank else None
    pairs_bytes = frame.floats(layer.heads * kept)
    pairs = tape.put(pairs_bytes, queries)
    pairs = tape.over(pairs_bytes, pairs, frame.inputs.masks[layer.is_windowed])
    if rank:
        pairs = tape.put(frame.floats(layer.heads * rank), aside, pairs)
    return tape.put(mixed_bytes, tape.put(mixed_bytes, pairs))


def _look_up_at_once(frame: Frame, layer: Layer, queries: int, mixed_bytes: int) -> int:
    """Flash attention: no matrix of all pairs, but caches of full precision are halved first."""
    tape, settings, kept = frame.tape, frame.settings, frame.kept_tokens(layer)
    mask = frame.inputs.masks[layer.is_windowed]
    rank = layer.latent.rank if layer.latent else 0
    value_type = settings.key_type if rank else settings.value_type
    caches = ((settings.key_type, layer.key_width), (value_type, rank or layer.value_width))
    halved = kept * settings.sequences * HALF_BYTES
    halves = [tape.put(width * halved) for kind, width in caches if kind == "f32"]
    if not rank:
        return tape.put(mixed_bytes, queries, *halves, mask)
    wide = tape.put(frame.floats(layer.heads * rank), queries, *halves, mask)
    return tape.put(mixed_bytes, tape.put(mixed_bytes, wide))


def _latent_attention(frame: Frame, layer: Layer, latent: Latent, normed: int) -> int:
    tape, heads, floats = frame.tape, layer.heads, frame.floats
    asked = tape.put(floats(latent.query_rank), normed) if latent.query_rank else normed
    plain = tape.put(floats(heads * latent.key_width), asked)
    absorbed = tape.put(floats(heads * latent.rank), plain)
    placed = tape.put(floats(heads * latent.turned), plain)
    queries = tape.put(floats(heads * (latent.rank + latent.turned)), absorbed, placed)
    both = tape.put(floats(latent.rank + latent.turned), normed)
    rank, place = tape.put(floats(latent.rank), both), tape.put(floats(latent.turned), both)
    keys = tape.put(floats(latent.rank + latent.turned), rank, place)
    _store(frame, layer, keys, None)
    return _look_up(frame, layer, queries)
