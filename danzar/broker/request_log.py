"""A line of the log for each request that ended, in the context of whoever asked."""

import logging

from danzar.broker.news import News, RequestEnded, RequestOutcome
from danzar.core.asker import RequestClass

log = logging.getLogger(__name__)

_WORTH_A_LINE = frozenset({RequestOutcome.FAILED, RequestOutcome.OUT_OF_MEMORY})


def log_request(news: News) -> None:
    """Say how a request ended; the frames of a watch, which never end, only for ``debug``."""
    if not isinstance(news, RequestEnded):
        return
    is_frame = news.request_class is RequestClass.WATCH
    quiet = is_frame and news.outcome not in _WORTH_A_LINE
    waited = "never started" if news.waited_s is None else f"waited {news.waited_s:.2f} s"
    log.log(
        logging.DEBUG if quiet else logging.INFO,
        "request %s: model=%s class=%s, %s, %.2f s in all",
        news.outcome,
        news.model,
        news.request_class,
        waited,
        news.seconds,
    )
