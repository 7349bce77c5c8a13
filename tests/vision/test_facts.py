from danzar.config.profile import HudField
from danzar.vision.facts import (
    distance_of,
    facts,
    hud_line,
    measured_answer,
    place_of,
    scene_line,
    seen_line,
    text_line,
)
from danzar.vision.observations import Detection, Hud, Insight, TextLine
from tests.vision.worlds import observation

FIELDS = {name: HudField(region=(0, 0, 1, 1)) for name in ("health", "ammo")}
LIMITS = {"health": 40}
ENEMIES = (
    Detection("enemy", 0.93, (0, 50, 90, 250)),
    Detection("enemy", 0.71, (220, 140, 240, 160)),
    Detection("health_bar", 0.99, (0, 280, 60, 300)),
)


def test_a_low_number_is_said_to_be_low_with_its_limit():
    told = facts(observation(hud=Hud(health=34, ammo=12)), FIELDS, LIMITS)
    assert told[0] == "Health is 34, which is low."
    assert told[1] == "Ammo is 12."


def test_a_number_at_its_limit_is_not_low():
    told = facts(observation(hud=Hud(health=40)), FIELDS, LIMITS)
    assert told[0] == "Health is 40, which is not low."


def test_a_number_that_was_not_read_is_said_to_be_unknown_and_never_zero():
    seen = observation(hud=Hud(health=0))
    assert facts(seen, FIELDS, LIMITS, "how much ammo?")[0] == "Ammo could not be read."
    assert not any("Ammo" in sentence for sentence in facts(seen, FIELDS, LIMITS))
    assert hud_line(seen, FIELDS, LIMITS) == "Health 0 (low: below 40) · Ammo not read"


def test_objects_are_counted_with_their_places():
    told = facts(observation(detections=ENEMIES), {}, {})
    assert told[0] == (
        "2 enemies are seen: on the left, near, 93% sure; on the right, far, 71% sure."
    )
    assert told[1] == "A health bar is seen on the bottom left, 99% sure."


def test_an_empty_picture_is_said_to_be_empty():
    assert facts(observation(), {}, {}) == ("No known object is in the picture.",)
    assert seen_line(observation()) == "nothing that I know"


def test_the_lines_for_people_hold_the_confidences():
    seen = observation(detections=ENEMIES, insights=(Insight("a boss fight", 0.81),))
    assert seen_line(seen).startswith("enemy 93% (left, near), enemy 71% (right, far), health bar")
    assert scene_line(seen) == "a boss fight 81%"
    assert scene_line(observation()) is None


def test_a_display_without_fields_has_no_line():
    assert hud_line(observation(), {}, {}) is None


def test_long_text_is_cut():
    lines = tuple(TextLine("word " * 20, 0.9, (0, n, 10, n + 1)) for n in range(9))
    shown = text_line(observation(text=lines))
    assert shown is not None
    assert len(shown) == 200
    assert shown.endswith("…")


def test_places_are_told_in_thirds():
    assert place_of((0, 0, 10, 10), 300, 300) == "top left"
    assert place_of((140, 140, 160, 160), 300, 300) == "middle"
    assert place_of((290, 290, 300, 300), 300, 300) == "bottom right"


def test_distance_is_told_by_height():
    assert distance_of((0, 0, 5, 200), 300) == "near"
    assert distance_of((0, 0, 5, 20), 300) == "far"
    assert distance_of((0, 0, 5, 80), 300) is None


def test_what_was_asked_for_comes_first_and_the_rest_keeps_its_order():
    seen = observation(detections=ENEMIES, hud=Hud(health=7, ammo=3))
    told = facts(seen, FIELDS, LIMITS)
    assert [sentence.split()[0] for sentence in told] == ["Health", "Ammo", "2", "A"]
    asked = facts(seen, FIELDS, LIMITS, "How many ENEMIES are there?")
    assert asked == (told[2], told[0], told[1], told[3])


def test_what_was_asked_for_is_answered_by_what_was_measured():
    told = ("Health is 7, which is low.", "Ammo is 12.", "2 enemies are seen: on the left.")
    assert measured_answer(told, "is my health low?") == "Health is 7, which is low."
    assert measured_answer(told, "where is that enemy") == "2 enemies are seen: on the left."
    assert measured_answer(told, "ammo and health") == "Health is 7, which is low. Ammo is 12."
    assert measured_answer(told, "What's my HP?") == "Health is 7, which is low."
    assert measured_answer(told, "any monsters near") == "2 enemies are seen: on the left."
    assert measured_answer(told, "What do you see? How are you?") is None


def test_objects_that_were_not_looked_for_are_not_said_to_be_absent():
    blind = observation(ran=())
    assert facts(blind, {}, {}) == ()
    assert seen_line(blind) == "objects were not looked for"


def test_text_is_told_to_the_model_only_when_it_is_asked_for():
    seen = observation(text=(TextLine("EXIT", 0.9, (0, 0, 9, 9)),))
    assert not any("EXIT" in sentence for sentence in facts(seen, {}, {}, "is it dark?"))
    assert "EXIT" in facts(seen, {}, {}, "What does the sign say?")[-1]
