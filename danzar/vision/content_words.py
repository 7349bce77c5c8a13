"""What a text is about, as a set of words that a question and a sentence may share. Pure."""

import re

_SHORTEST = 3
# People's other words for what our sentences call by one name, without their last s.
_SAME = {
    "enemie": "enemy",
    "monster": "enemy",
    "demon": "enemy",
    "foe": "enemy",
    "bosse": "bos",
    "armour": "armor",
    "hp": "health",
    "ammunition": "ammo",
    "bullet": "ammo",
}
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        what which where who how why when there thi that with seen see sure have the and are was
        can you your for not any one near far scene picture
        """,
    )
)


def content_words(text: str) -> set[str]:
    """Its words in lower case and singular, without those that every text has."""
    words = (word.removesuffix("s") for word in re.findall(r"[a-z]+", text.lower()))
    named = {_SAME.get(word, word) for word in words}
    return {word for word in named if len(word) >= _SHORTEST} - _COMMON
