"""Cross-origin and cache headers of a SockJS service, as data (SJ-7 to SJ-10)."""

from collections.abc import Sequence
from email.utils import formatdate
from typing import Final

Header = tuple[str, str]

YEAR_SECONDS: Final = 31_536_000
UNCACHEABLE: Final[tuple[Header, ...]] = (
    ("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0"),
)
VARY: Final[Header] = ("Vary", "Origin")


def cors(origin: str | None, request_headers: str | None = None) -> tuple[Header, ...]:
    """Headers of an answer to a page of some origin, refusals included (SJ-7).

    `request_headers` is the request's `Access-Control-Request-Headers`.
    """
    headers: list[Header] = []
    if origin:
        headers.append(("Access-Control-Allow-Origin", origin))
        headers.append(("Access-Control-Allow-Credentials", "true"))
    else:
        headers.append(("Access-Control-Allow-Origin", "*"))
    if request_headers:
        headers.append(("Access-Control-Allow-Headers", request_headers))
    headers.append(VARY)
    return tuple(headers)


def preflight(methods: Sequence[str], *, now: int) -> tuple[Header, ...]:
    """What an OPTIONS answer carries beside `cors`; `methods` are the URL's others (SJ-8)."""
    allowed = ", ".join(["OPTIONS", *(method for method in methods if method != "OPTIONS")])
    return (
        ("Access-Control-Allow-Methods", allowed),
        ("Access-Control-Max-Age", str(YEAR_SECONDS)),
        *cacheable(now),
    )


def cacheable(now: int) -> tuple[Header, ...]:
    """Public for a year from now, epoch milliseconds (SJ-8, SJ-38)."""
    expires = formatdate(now / 1000 + YEAR_SECONDS, usegmt=True)
    return (("Cache-Control", f"public, max-age={YEAR_SECONDS}"), ("Expires", expires))


def is_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Whether a page of this origin may use a service (SJ-10); no origin is no page.

    The server's own origin is told by `host`, the request's header. Its scheme is not compared:
    whoever ends TLS for us may not say so.
    """
    if not origin or "*" in allowed or origin in allowed:
        return True
    own = (host or "").lower()
    return own != "" and _authority(origin) == own


def _authority(origin: str) -> str:
    """Host and port; "" where an origin has none, as `null`."""
    return origin.partition("://")[2].lower()
