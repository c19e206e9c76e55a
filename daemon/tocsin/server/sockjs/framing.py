"""What stands in the text messages of a WebSocket: SockJS frames, or messages alone (SJ-34)."""

from collections.abc import Sequence
from typing import Final, Protocol

from tocsin.wire.sockjs import frames
from tocsin.wire.sockjs.receiving import websocket_messages


class Framing(Protocol):
    """What stands in the text messages of a WebSocket."""

    @property
    def transport(self) -> str: ...

    def opening(self) -> bytes:
        """The first message; empty for none."""

    def heartbeat(self) -> bytes:
        """What a page can see of a heartbeat; empty for nothing."""

    def closing(self, code: int, reason: str) -> bytes:
        """What comes before a Close frame. ValueError: a code no server says (SJ-35)."""

    def texts(self, messages: Sequence[str | bytes]) -> list[bytes]:
        """What messages are sent as."""

    def messages(self, text: bytes) -> list[str] | None:
        """What a client's text holds; None: broken framing."""


class Framed:
    """SockJS frames."""

    transport = "websocket"

    def opening(self) -> bytes:
        return frames.OPEN

    def heartbeat(self) -> bytes:
        return frames.HEARTBEAT

    def closing(self, code: int, reason: str) -> bytes:
        return frames.close_frame(code, reason)

    def texts(self, messages: Sequence[str | bytes]) -> list[bytes]:
        return [frames.message_frame(map(frames.encode_message, messages))]

    def messages(self, text: bytes) -> list[str] | None:
        return websocket_messages(text)


class Raw:
    """A text is a message and nothing else is sent (SJ-34)."""

    transport = "websocket-raw"

    def opening(self) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return b""

    def closing(self, code: int, reason: str) -> bytes:
        frames.close_frame(code, reason)
        return b""

    def texts(self, messages: Sequence[str | bytes]) -> list[bytes]:
        """A lone surrogate, which UTF-8 cannot say, becomes a question mark."""
        return [
            message if isinstance(message, bytes) else message.encode(errors="replace")
            for message in messages
        ]

    def messages(self, text: bytes) -> list[str] | None:
        return [text.decode()]


FRAMED: Final[Framing] = Framed()
RAW: Final[Framing] = Raw()
