"""How many frames a server may send that bring nobody an answer (push.md, PU-59)."""

from tocsin.wire.http2.frames import ConnectionViolation, ErrorCode

FRAMES = 1_000
SECONDS = 10.0
# A server may give back every body with a WINDOW_UPDATE of the stream and of the connection.
FRAMES_OF_A_STREAM = 2


class FloodGuard:
    """Counts frames without use: control frames, empty DATA, interim answers, closed streams."""

    __slots__ = ("_count", "_since")

    def __init__(self) -> None:
        self._count = 0
        self._since = float("-inf")

    def answered(self) -> None:
        """A push was answered; what came before is forgiven."""
        self._count = 0

    def count(self, now: float, open_streams: int) -> None:
        """One more; ConnectionViolation if that is too many in the 10 s since the first."""
        if now - self._since >= SECONDS:
            self._since = now
            self._count = 0
        self._count += 1
        if self._count > FRAMES + FRAMES_OF_A_STREAM * open_streams:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "frames without an answer")
