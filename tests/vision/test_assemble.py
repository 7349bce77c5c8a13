from danzar.vision.assemble import without_repeats
from danzar.vision.observations import TextLine

MERGED = TextLine("5067%", 1.0, (30, 410, 205, 450))
AMMO = TextLine("50", 0.98, (35, 410, 85, 450))
HEALTH = TextLine("67%", 0.99, (130, 410, 205, 450))
TITLE = TextLine("Doom", 0.9, (0, 0, 50, 20))


def test_lines_of_the_display_replace_what_was_read_across_them():
    assert without_repeats((MERGED, AMMO, HEALTH, TITLE), (AMMO, HEALTH)) == (TITLE, AMMO, HEALTH)


def test_elsewhere_the_surest_line_of_a_place_is_kept():
    worse = TextLine("Doorn", 0.6, (1, 1, 50, 20))
    assert without_repeats((worse, TITLE), ()) == (TITLE,)
