"""What is counted and logged of every HTTP request (OP-15, OP-17, CH-121)."""

import structlog

from tocsin.ops.metrics import AUTH_FAILURES, Metrics
from tocsin.server.publish import PATH
from tocsin.wire.request import Request

OK = "ok"
PUBLISH = tuple(PATH.strip("/").split("/"))
CALLBACK = "callback"
LOADED = frozenset({"backlog", "store", "drain", "memory"})

log = structlog.get_logger()


class RequestLog:
    """The observer of an HTTP server: a counter for all, a line for what was refused."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def answered(self, request: Request | None, status: int, label: str, seconds: float) -> None:
        """One request is over; `label` is "ok" or the word for what was wrong with it."""
        metrics = self._metrics
        metrics.http_requests[request.method if request else "-", status].inc()
        metrics.http_request_duration.observe(seconds)
        if label == OK:
            return
        if label in AUTH_FAILURES:
            metrics.auth_failures[label].inc()
        elif label == "rate_limited":
            metrics.rate_limited[_counted_against(request)].inc()
        elif label in LOADED and _publishes(request):
            metrics.notifications_rejected[label].inc()
        log.info(
            "request.refused",
            status=status,
            reason=label,
            method=request.method if request else None,
            target=request.loggable_target if request else None,
            request_id=request.request_id if request else None,
            peer=request.peer if request else None,
        )

    def crashed(self, request: Request | None, error: Exception) -> None:
        """A bug of ours: the client got a 500."""
        log.error(
            "request.crashed",
            exc_info=error,
            method=request.method if request else None,
            target=request.loggable_target if request else None,
            request_id=request.request_id if request else None,
        )


def _publishes(request: Request | None) -> bool:
    return request is not None and request.segments == PUBLISH


def _counted_against(request: Request | None) -> str:
    """Whose rate a 429 is about."""
    principal = None if request is None else request.principal
    if request is None or principal is None or not principal.token_id:
        return "address"
    segments = request.segments or ()
    calls_back = segments[-1:] == (CALLBACK,)
    return "producer" if calls_back or _publishes(request) else "token"
