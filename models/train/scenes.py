"""Situations worth a picture, set up with the game's own console on any map."""

import random

import vizdoom as vzd
from doom import Session

ENEMIES = [
    "Zombieman",
    "ShotgunGuy",
    "ChaingunGuy",
    "DoomImp",
    "Demon",
    "Cacodemon",
    "HellKnight",
    "BaronOfHell",
    "Revenant",
    "Arachnotron",
    "Fatso",
    "Archvile",
    "PainElemental",
    "LostSoul",
]
BOSS_NAMES = ("Cyberdemon", "SpiderMastermind")
WEAPONS = [
    "Shotgun",
    "SuperShotgun",
    "Chaingun",
    "RocketLauncher",
    "PlasmaRifle",
    "BFG9000",
    "Fist",
    "Pistol",
]
MENUS = [
    "menu_main",
    "menu_options",
    "menu_display",
    "menu_keys",
    "menu_gameplay",
    "menu_automap",
    "menu_compatibility",
    "menu_mouse",
    "menu_messages",
    "menu_quit",
    "menu_game",
]
KINDS = {
    "natural": 20,
    "empty": 9,
    "one": 18,
    "several": 16,
    "boss": 18,
    "third": 14,
    "marine": 5,
}


def prepare(session: Session, rng: random.Random) -> None:
    """Everything for the weapons, and looks that differ between sessions."""
    session.command(
        "give weapons", "give ammo", "give backpack", "am_colorset " + rng.choice("0123")
    )
    session.command(
        f"color {rng.randrange(256):02x} {rng.randrange(256):02x} {rng.randrange(256):02x}"
    )
    session.command(f"con_midtime {rng.choice((0, 0, 0, 2))}", "cl_showsecretmessage 0")
    session.command(f"gamma {rng.uniform(0.9, 1.5):.2f}")
    if rng.random() < 0.6:
        session.command("god")
    session.step(2)


def go_somewhere(session: Session, rng: random.Random) -> None:
    """Warp to where the level's makers put something, facing any way."""
    places = [o for o in session.state.objects if o.name != "DoomPlayer"]
    place = rng.choice(places)
    session.set_third_person(False)
    session.command(f"warp {int(place.position_x)} {int(place.position_y)}")
    session.step(1, turn=rng.uniform(-180, 180))
    session.face_openness()
    session.set_health(rng.choice((rng.randint(2, 29), rng.randint(30, 100), rng.randint(60, 200))))
    session.command("use " + rng.choice(WEAPONS))
    if rng.random() < 0.3:
        session.command("give " + rng.choice(("greenarmor", "bluearmor")))
    session.step(rng.randint(2, 12))


def stage(session: Session, kind: str, rng: random.Random) -> None:
    """Bring about one of ``KINDS`` where the player stands. The game may not comply: look."""
    _STAGES[kind](session, rng)


def _natural(session: Session, rng: random.Random) -> None:
    own_x = session.value(vzd.GameVariable.POSITION_X)
    own_y = session.value(vzd.GameVariable.POSITION_Y)
    near = [
        o
        for o in session.state.objects
        if o.name in ENEMIES and abs(o.position_x - own_x) + abs(o.position_y - own_y) < 1200
    ]
    if near:
        target = rng.choice(near)
        session.turn_to(target.position_x, target.position_y, rng.gauss(0, 15))
    session.step(rng.randint(1, 4), attack=rng.random() < 0.3)


def _empty(session: Session, rng: random.Random) -> None:
    session.step(rng.randint(1, 3), turn=rng.uniform(-90, 90), attack=rng.random() < 0.2)


def _summon(session: Session, names: list[str], rng: random.Random) -> None:
    session.step(rng.randint(1, 12), forward=40)  # leaves room to step back
    for name in names:
        session.command(f"summon {name}")
        session.step(2, turn=rng.uniform(-14, 14), forward=-rng.uniform(10, 40))
    back_off = rng.choice((0, 4, 8, 12, 18, 24))
    session.step(1 + back_off, forward=-rng.uniform(20, 45) if back_off else 0)
    session.step(rng.randint(1, 8), turn=rng.uniform(-3, 3), attack=rng.random() < 0.35)


def _one(session: Session, rng: random.Random) -> None:
    _summon(session, [rng.choice(ENEMIES)], rng)


def _several(session: Session, rng: random.Random) -> None:
    _summon(session, rng.choices(ENEMIES, k=rng.randint(2, 4)), rng)


def _boss(session: Session, rng: random.Random) -> None:
    guards = rng.choices(ENEMIES, k=rng.choice((0, 0, 0, 1)))
    _summon(session, [rng.choice(BOSS_NAMES), *guards], rng)


def _third(session: Session, rng: random.Random) -> None:
    session.command(f"chase_dist {rng.randint(60, 200)}", f"chase_height {rng.randint(-12, 45)}")
    session.set_third_person(True)
    crowd = rng.choice(([], [], [rng.choice(ENEMIES)], [rng.choice(BOSS_NAMES)]))
    _summon(session, crowd, rng)


def _marine(session: Session, rng: random.Random) -> None:
    _summon(session, ["ScriptedMarine"], rng)


_STAGES = {
    "natural": _natural,
    "empty": _empty,
    "one": _one,
    "several": _several,
    "boss": _boss,
    "third": _third,
    "marine": _marine,
}
