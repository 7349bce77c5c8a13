"""Who of several is next, when each has asked at some time and may wait for some time. Pure.

The one whose time runs out first is next: so the urgent go before the patient, and whoever waits
gains rank with every second. Under more load than can be served, that alone would make everyone
late, and let a busy one hold back all others. So whoever has waited half of its time is *due*, and
those who are due take turns, however many requests stand behind each of them.
"""

DUE_SHARE = 0.5


def turn_key(
    asked_s: float,
    bound_s: float,
    last_turn: float,
    now_s: float,
    due_share: float = DUE_SHARE,
) -> tuple[bool, float, float]:
    """The smallest key is next.

    Args:
        asked_s: When it asked.
        bound_s: How long it should wait at most.
        last_turn: When it had its last turn, on any clock that they share.
        now_s: On the clock of ``asked_s``.
        due_share: What of its time must be over for it to be due, 0 to 1.
    """
    deadline_s = asked_s + bound_s
    if now_s - asked_s >= due_share * bound_s:
        return (False, last_turn, deadline_s)
    return (True, deadline_s, asked_s)
