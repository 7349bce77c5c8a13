"""What follows attention in each layer, operation by operation. Pure."""

from danzar.estimate.gguf_frame import Frame
from danzar.estimate.gguf_layers import FeedForward


def feed_forward(frame: Frame, forward: FeedForward, normed: int) -> int:
    """From the normed hidden state to what the feed-forward part adds to it."""
    if not forward.experts:
        return _dense(frame, forward, normed)
    routed = _experts(frame, forward, normed)
    if not forward.width:
        return routed
    shared = _dense(frame, forward, normed)
    return frame.tape.over(frame.hidden_bytes, routed, shared)


def _dense(frame: Frame, forward: FeedForward, normed: int) -> int:
    tape, size_bytes = frame.tape, frame.floats(forward.width)
    if forward.fused:
        inner = tape.put(size_bytes, tape.put(2 * size_bytes, normed))
    elif forward.gates == 1:
        inner = tape.over(size_bytes, tape.put(size_bytes, normed))
    else:
        inner = tape.put(size_bytes, tape.put(size_bytes, normed), tape.put(size_bytes, normed))
    return tape.put(frame.hidden_bytes, inner)


def _experts(frame: Frame, forward: FeedForward, normed: int) -> int:
    """Choose experts for each token, go through them, and add their weighted results."""
    tape, used = frame.tape, forward.experts_used
    odds_bytes = frame.floats(forward.experts)
    odds = tape.over(odds_bytes, tape.put(odds_bytes, normed))
    order = tape.put(odds_bytes, odds)
    weights = tape.put(frame.floats(used), odds, order)
    inner_bytes = frame.floats(forward.expert_width * used)
    gate, up = tape.put(inner_bytes, normed, order), tape.put(inner_bytes, normed, order)
    inner = tape.put(inner_bytes, gate, up)
    every_bytes = frame.hidden_bytes * used
    every = tape.over(every_bytes, tape.put(every_bytes, inner, order), weights)
    total = tape.put(frame.hidden_bytes, every)
    for _ in range(used - 2):
        total = tape.over(frame.hidden_bytes, total, every)
    return total
