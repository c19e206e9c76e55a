"""Cross-origin headers (channels.md, CH-6)."""

from typing import Final

from tocsin.server.settings import CorsSettings

METHODS: Final = "GET, POST, PUT, DELETE"
REQUEST_HEADERS: Final = "Authorization, Content-Type, Accept, X-Cpaas-Agent, Idempotency-Key"
ANY: Final = b"Access-Control-Allow-Origin: *\r\n"
EXPOSED: Final = b"Access-Control-Expose-Headers: Location, Retry-After\r\n"
ANY_ANSWER: Final = ANY + EXPOSED
MAX_AGE: Final = 86_400


class Cors:
    """Which header lines an answer to a page of some origin carries."""

    def __init__(self, settings: CorsSettings) -> None:
        self._any = "*" in settings.origins
        self._origins = frozenset(settings.origins)
        allowed = ", ".join([REQUEST_HEADERS, *settings.headers])
        self._preflight = (
            f"Access-Control-Allow-Methods: {METHODS}\r\n"
            f"Access-Control-Allow-Headers: {allowed}\r\n"
            f"Access-Control-Max-Age: {MAX_AGE}\r\n"
        ).encode()

    def allows(self, origin: str | None) -> bool:
        """Whether a page of this origin may call; no origin is no page."""
        return origin is None or self._any or origin in self._origins

    def preflight(self, origin: str | None) -> bytes:
        """Header lines of the answer to an OPTIONS request."""
        allow_origin = self._allow_origin(origin)
        return allow_origin + self._preflight if self._named(origin) else allow_origin

    def answer(self, origin: str | None) -> bytes:
        """Header lines of every other answer, errors too."""
        if self._any:
            return ANY_ANSWER
        allow_origin = self._allow_origin(origin)
        return allow_origin + EXPOSED if self._named(origin) else allow_origin

    def _named(self, origin: str | None) -> bool:
        return self._any or origin in self._origins

    def _allow_origin(self, origin: str | None) -> bytes:
        """With a list the answer depends on the origin, and caches must know."""
        if self._any:
            return ANY
        if origin not in self._origins:
            return b"Vary: Origin\r\n"
        return f"Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n".encode()
