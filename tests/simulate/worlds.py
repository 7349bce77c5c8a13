"""Small described worlds, and what they are asked, from a seed."""

from random import Random

from danzar.simulate.described import DescribedWorld
from danzar.simulate.trace import Ask, Foreign, Trace, in_order
from danzar.simulate.world import World, make_world
from danzar.units import GIB, MIB


def described(models: dict, cards_gib: tuple[float, ...] = (12.0,), **rest) -> World:
    """A world of cards without other programs."""
    devices = [{"memory": round(gib * GIB)} for gib in cards_gib]
    sizes = {
        name: {"size": round(m.pop("gib") * GIB), "context": 0, "process": 0, **m}
        for name, m in ((name, dict(m)) for name, m in models.items())
    }
    document = {"devices": devices, "models": sizes, **rest}
    return make_world(DescribedWorld.model_validate(document))


def random_world(random: Random, cards: int | None = None) -> World:
    """One to three cards, three to nine models; some pinned, divisible, with smaller variants."""
    count = cards or random.randint(1, 3)
    return make_world(
        DescribedWorld.model_validate(
            {
                "rules": {
                    "margin": 256 * MIB,
                    "policy": random.choice(("cost", "cost", "lru", "priority", "largest")),
                    "min_residence_s": random.choice((0, 0, 10)),
                    "keep_alive_s": random.choice((60, 900)),
                },
                "devices": [
                    {
                        "memory": random.choice((8, 12, 24)) * GIB,
                        "foreign": random.randint(0, 3) * GIB // 2,
                    }
                    for _ in range(count)
                ],
                "host": {"memory": random.choice((16, 64)) * GIB, "foreign": 6 * GIB},
                "models": {
                    f"model-{n}": _model(random, count) for n in range(random.randint(3, 9))
                },
            }
        )
    )


def random_trace(random: Random, world: World, requests: int) -> Trace:
    """Requests within minutes, while other programs come and go."""
    names, at_s, lines = sorted(world.models), 0.0, []
    for _ in range(requests):
        at_s += random.expovariate(1 / 8)
        if random.random() < 0.1:
            card = random.choice([d for d in world.devices if d.index >= 0])
            held = round(random.random() ** 2 * card.total_bytes)
            lines.append(Foreign(at_s, f"cuda:{card.index}", held))
        else:
            lines.append(Ask(at_s, random.choice(names), random.uniform(0.5, 12)))
    return in_order(lines)


def _model(random: Random, cards: int) -> dict[str, object]:
    size = round(random.choice((0.6, 1.2, 2.5, 4.0, 6.0, 9.0)) * random.uniform(0.9, 1.1) * GIB)
    smaller = round(size * 0.8)
    return {
        "purpose": random.choice(("chat", "vision")),
        "worker": random.choice((None, "torch")),
        "size": size,
        "layers": random.choice((None, None, 24)),
        "variants": [{"rung": "context", "size": smaller, "loss": "with half the context"}]
        if random.random() < 0.3
        else [],
        "devices": [f"cuda:{random.randrange(cards)}"] if random.random() < 0.4 else [],
        "cpu": random.random() < 0.5,
        "pinned": random.random() < 0.08,
        "slots": random.choice((1, 2)),
        "load_rate": random.choice((500 * MIB, 2 * GIB)),
        "load_s": random.uniform(0.5, 6),
    }
