"""What a job may name: models that write, draw or film, here or on another node. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from danzar.config.models import ModelsConfig
from danzar.config.problems import nearest
from danzar.errors import ModelMissing


class JobKind(StrEnum):
    """What a model's jobs bring; the seed knows the first two."""

    LLM = "llm"
    DIFFUSION = "diffusion"
    VIDEO = "video"


KIND_OF_ROLE: Mapping[str, JobKind] = {
    "chat": JobKind.LLM,
    "imagine": JobKind.DIFFUSION,
    "video": JobKind.VIDEO,
}


@dataclass(frozen=True, slots=True)
class Target:
    """A model that takes jobs.

    Attributes:
        nodes: Further machines that take jobs for it.
    """

    name: str
    kind: JobKind
    is_local: bool = True
    nodes: tuple[str, ...] = ()


def local_targets(models: ModelsConfig) -> dict[str, Target]:
    """Those of this machine's ``models.yaml``."""
    kinds = ((name, KIND_OF_ROLE.get(entry.role)) for name, entry in models.models.items())
    return {name: Target(name, kind) for name, kind in kinds if kind is not None}


def find_target(targets: Mapping[str, Target], name: str, others: Iterable[str] = ()) -> Target:
    """The model by this name.

    Args:
        targets: Those that take jobs.
        name: As it was asked for.
        others: Models that take no jobs.

    Raises:
        ModelMissing: There is none; the message names the nearest.
    """
    if name in targets:
        return targets[name]
    known = ", ".join(sorted(targets)) or "none"
    if name in others:
        raise ModelMissing(f"{name} takes no jobs; models that do: {known}")
    close = nearest(name, sorted(targets))
    hint = f"did you mean {close}?" if close else f"models that take jobs: {known}"
    raise ModelMissing(f"there is no model {name[:80]!r}; {hint}")


def merge_targets(
    local: Mapping[str, Target], others: Iterable[tuple[str, str, str]]
) -> dict[str, Target]:
    """What can be asked for here, with what other nodes offer.

    Args:
        local: This machine's.
        others: Node, model and the model's role, of every living node.
    """
    merged = dict(local)
    for node, name, role in others:
        kind = KIND_OF_ROLE.get(role)
        known = merged.get(name)
        if known is not None:
            merged[name] = replace(known, nodes=(*known.nodes, node))
        elif kind is not None:
            merged[name] = Target(name, kind, is_local=False, nodes=(node,))
    return merged
