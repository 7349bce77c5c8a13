"""Choosing the next word with llama.cpp's own samplers: the odds never come to Python."""

import secrets
from typing import Any, Final

import llama_cpp

from danzar.backends.llama_native import NativeModel
from danzar.errors import BadInput
from danzar.workers.contract import Generate

_TOP_K: Final = 40
_MIN_P: Final = 0.05
_LEAST_KEPT: Final = 1
_PENALISED_TOKENS: Final = 64
_NO_PENALTIES: Final = (1.0, 0.0, 0.0)
# The largest 32-bit number is llama.cpp's word for "any seed".
_SEEDS: Final = (1 << 32) - 1
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "repeat_penalty": (0.1, 10),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "seed": (0, _SEEDS - 1),
}


class Sampler:
    """One request's way to choose words; close it when the request is over."""

    def __init__(self, native: NativeModel, request: Generate) -> None:
        """Make the chain: repetition, the 40 best, ``top_p``, ``min_p``, temperature, the dice.

        Raises:
            BadInput: A value is outside its range.
        """
        check(request)
        self._context = native.context
        params = llama_cpp.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain: Any = llama_cpp.llama_sampler_chain_init(params)
        for link in _links(native, request):
            llama_cpp.llama_sampler_chain_add(self._chain, link)

    def sample(self, place: int) -> int:
        """The next token after the batch's token at ``place``; it counts as chosen."""
        token: int = llama_cpp.llama_sampler_sample(self._chain, self._context, place)
        return token

    def close(self) -> None:
        """Free the chain."""
        if self._chain is not None:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None


def check(request: Generate) -> None:
    """Refuse values that llama.cpp would take for something else.

    Raises:
        BadInput: A value is outside its range.
    """
    for name, (least, most) in _RANGES.items():
        value = getattr(request, name)
        if value is not None and not least <= value <= most:
            raise BadInput(f"{name} is {value}; it must be from {least} to {most}.")


def _links(native: NativeModel, request: Generate) -> list[Any]:
    links: list[Any] = []
    repeat, frequency = request.repeat_penalty, request.frequency_penalty
    presence = request.presence_penalty
    if (repeat, frequency, presence) != _NO_PENALTIES:
        words = llama_cpp.llama_vocab_n_tokens(native.vocab)
        links.append(
            llama_cpp.llama_sampler_init_penalties(
                words, _PENALISED_TOKENS, repeat, frequency, presence
            )
        )
    if request.temperature == 0.0:
        return [*links, llama_cpp.llama_sampler_init_greedy()]
    seed = secrets.randbelow(_SEEDS) if request.seed is None else request.seed
    return [
        *links,
        llama_cpp.llama_sampler_init_top_k(_TOP_K),
        llama_cpp.llama_sampler_init_top_p(request.top_p, _LEAST_KEPT),
        llama_cpp.llama_sampler_init_min_p(_MIN_P, _LEAST_KEPT),
        llama_cpp.llama_sampler_init_temp(request.temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ]
