import asyncio

import pytest

from cogs.gpu_game import GameCog
from danzar.errors import BadInput
from danzar.telemetry.simulated import SimulatedCards
from danzar.telemetry.simulated_game import SimulatedGames
from danzar.units import GIB


async def free_gib(cards: SimulatedCards) -> float:
    return ((await cards.sample())[0].free_bytes or 0) / GIB


async def test_a_game_waits_for_room_and_takes_it_when_a_model_leaves():
    cards = SimulatedCards()
    card = cards.uuids[0]
    cards.hold(card, 1, "model", 8 * GIB)
    games = SimulatedGames(cards)
    taking = asyncio.create_task(games.take(card, 6 * GIB))
    await asyncio.sleep(0.01)
    assert not taking.done()
    assert games.held_bytes(card) < 6 * GIB
    cards.release(card, 1)
    await asyncio.wait_for(taking, 60)
    assert games.held_bytes(card) == 6 * GIB
    games.end(card)
    assert await free_gib(cards) > 11


async def test_people_begin_and_end_a_game():
    cards = SimulatedCards()
    cog = GameCog(bot=None, cards=cards)
    before = await free_gib(cards)
    assert "takes 6.0GB of cuda:1 (simulated)" in await cog.play("6GB", 1)
    assert "ended" in await cog.play("0", 1)
    assert await free_gib(cards) == before


@pytest.mark.parametrize(("size", "card"), [("6GB", 7), ("much", 0)])
async def test_nonsense_is_answered_and_begins_nothing(size, card):
    cards = SimulatedCards()
    with pytest.raises(BadInput):
        await GameCog(bot=None, cards=cards).play(size, card)
