"""The reactor's kind of link: frames are read by our own decoder, out of a shared buffer."""

import socket

from tocsin.server.handler import ConnectionLimits, Handler, Host
from tocsin.server.link import CLOSING, SocketLink
from tocsin.wire.websocket_decoder import Decoder, ProtocolViolation


class Connection(SocketLink):
    """One WebSocket inside the reactor, which calls `read_into` and `flush`."""

    __slots__ = ("_decoder",)

    def __init__(
        self, sock: socket.socket, handler: Handler, limits: ConnectionLimits, host: Host
    ) -> None:
        super().__init__(sock, handler, limits, host)
        self._decoder = Decoder(max_message=limits.max_message)

    def start(self, received: bytes) -> None:
        """Tell the session, then process what came with the handshake."""
        self.open()
        if received:
            self.take(received)

    def take(self, data: bytes | memoryview) -> None:
        """Process bytes of the peer; `data` is not used after the call."""
        super().take(data)
        if self._state > CLOSING:
            return
        try:
            for opcode, payload in self._decoder.feed(data):
                if self.admit(opcode):
                    self.deliver(opcode, payload)
                if self._state > CLOSING:
                    return
        except ProtocolViolation as violation:
            self.fail(violation.code, violation.reason)
