"""Whether models could be loaded since the start: what ``/ready`` goes by."""

from collections.abc import Iterable

from danzar.broker.news import LoadEnded, LoadOutcome, News, NewsDesk


class FirstLoads:
    """Remembers which models were asked for at the start, and whose last load failed.

    Attributes:
        asked: Models to load first; ``None`` until they were asked for.
        loaded: Models that were loaded at least once.
        failed: Why a model's last load failed, by model; a card that is too full is no failure.
    """

    def __init__(self, news: NewsDesk) -> None:
        """Hear of every load from now on."""
        self.asked: frozenset[str] | None = None
        self.loaded: set[str] = set()
        self.failed: dict[str, str] = {}
        news.add_listener(self.hear)

    def ask(self, models: Iterable[str]) -> None:
        """These were asked for; all that there are to ask for."""
        self.asked = frozenset(models)

    def hear(self, news: News) -> None:
        """What the broker tells."""
        if not isinstance(news, LoadEnded):
            return
        if news.outcome is LoadOutcome.LOADED:
            self.loaded.add(news.model)
            self.failed.pop(news.model, None)
        elif news.outcome is LoadOutcome.ERROR:
            self.failed[news.model] = news.reason
