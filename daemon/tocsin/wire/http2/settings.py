"""The server's SETTINGS, as far as they matter to a client that pushes (RFC 9113, section 6.5)."""

from tocsin.wire.http2.frames import (
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    GREATEST,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    SETTING,
    ConnectionViolation,
    ErrorCode,
)

DEFAULT_STREAMS = 100


class ServerSettings:
    """What the server allows right now: streams at once, a new stream's window, a frame's size."""

    __slots__ = ("frame_size", "streams", "window")

    def __init__(self) -> None:
        self.streams = DEFAULT_STREAMS
        self.window = DEFAULT_WINDOW
        self.frame_size = DEFAULT_FRAME_SIZE

    def apply(self, payload: bytes) -> None:
        """Take the payload of a SETTINGS frame; what is unknown or no matter of ours is ignored."""
        if len(payload) % SETTING.size:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS cut short")
        for name, value in SETTING.iter_unpack(payload):
            self._set(name, value)

    def _set(self, name: int, value: int) -> None:
        if name == MAX_CONCURRENT_STREAMS:
            self.streams = value
        elif name == INITIAL_WINDOW_SIZE:
            if value > GREATEST:
                raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "initial window too large")
            self.window = value
        elif name == MAX_FRAME_SIZE:
            if not DEFAULT_FRAME_SIZE <= value < 1 << 24:
                raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "bad frame size")
            self.frame_size = value
        elif name == ENABLE_PUSH and value:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "a server enables push")
