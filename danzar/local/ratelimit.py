"""Discord's rate limits: which bucket a request falls into, and whether it has room. Pure."""

import re
from dataclasses import dataclass, field

GLOBAL_PER_S = 50
MAX_WINDOWS = 1024


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of bucket: ``limit`` requests every ``per_s`` seconds."""

    name: str
    method: str
    pattern: re.Pattern[str]
    limit: int
    per_s: float


def _rule(name: str, method: str, path: str, limit: int, per_s: float) -> Rule:
    pattern = re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path).replace("*", r"[^/]+")
    return Rule(name, method, re.compile(f"^{pattern}$"), limit, per_s)


# The named groups are what Discord calls major parameters: each value has a bucket of its own.
RULES = (
    _rule("send", "POST", "/channels/<channel>/messages", 5, 5.0),
    _rule("edit", "PATCH", "/channels/<channel>/messages/*", 5, 5.0),
    _rule("delete", "DELETE", "/channels/<channel>/messages/*", 5, 1.0),
    _rule("react", "PUT", "/channels/<channel>/messages/*/reactions/*/@me", 1, 0.25),
    _rule("typing", "POST", "/channels/<channel>/typing", 5, 5.0),
    _rule("followup", "POST", "/webhooks/*/<token>", 5, 2.0),
    _rule("followup-edit", "PATCH", "/webhooks/*/<token>/messages/*", 5, 2.0),
    _rule("commands", "PUT", "/applications/<application>/commands", 2, 2.0),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to tell the caller about one bucket.

    Attributes:
        remaining: Requests left in this window.
        reset_after_s: Seconds until the window is full again.
        retry_after_s: Seconds to wait, or ``None`` when the request may go on.
    """

    bucket: str
    limit: int
    remaining: int
    reset_after_s: float
    retry_after_s: float | None
    is_global: bool = False


@dataclass(slots=True)
class _Window:
    ends_at_s: float
    used: int = 0


@dataclass(slots=True)
class RateLimiter:
    """Counts requests in fixed windows. The time is an argument, in seconds."""

    _windows: dict[str, _Window] = field(default_factory=dict)

    def take(self, method: str, path: str, now_s: float) -> Verdict | None:
        """Count one request. ``None`` means that no bucket watches this route."""
        exempt = path.startswith(("/interactions/", "/webhooks/"))
        if not exempt:
            overall = self._count("global", GLOBAL_PER_S, 1.0, now_s, is_global=True)
            if overall.retry_after_s is not None:
                return overall
        for rule in RULES:
            match = rule.pattern.match(path) if rule.method == method else None
            if match is not None:
                key = f"{rule.name}:{':'.join(match.groups())}"
                return self._count(key, rule.limit, rule.per_s, now_s)
        return None

    def _count(
        self, key: str, limit: int, per_s: float, now_s: float, *, is_global: bool = False
    ) -> Verdict:
        window = self._window(key, per_s, now_s)
        reset_after_s = window.ends_at_s - now_s
        full = window.used >= limit
        if not full:
            window.used += 1
        return Verdict(
            bucket=key.split(":", 1)[0],
            limit=limit,
            remaining=limit - window.used,
            reset_after_s=reset_after_s,
            retry_after_s=reset_after_s if full else None,
            is_global=is_global,
        )

    def _window(self, key: str, per_s: float, now_s: float) -> _Window:
        window = self._windows.get(key)
        if window is not None and window.ends_at_s > now_s:
            return window
        if len(self._windows) >= MAX_WINDOWS:
            self._windows = {k: w for k, w in self._windows.items() if w.ends_at_s > now_s}
        self._windows[key] = window = _Window(ends_at_s=now_s + per_s)
        return window
