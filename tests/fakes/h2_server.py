"""A strict HTTP/2 server in memory: every frame of ours is judged by `h2`'s state machine.

    client, server = Http2Connection(), H2Server(MAX_CONCURRENT_STREAMS=1)
    exchange(client, server)          # bytes to and fro until nobody has any
    stream_id = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.respond(stream_id, body=b"ok")
    assert exchange(client, server) == [Answer(stream_id, 200, {}, b"ok")]

What h2 finds wrong with our frames is raised as its ProtocolError and fails the test. What h2
would never send itself goes out with `send_raw`.
"""

from collections.abc import Iterable

import attrs
import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.settings import SettingCodes

from tocsin.wire.http2.connection import Http2Connection
from tocsin.wire.http2.events import Event
from tocsin.wire.http2.frames import GOAWAY, WORD, frame
from tocsin.wire.http2.headers import encode

BLOCK = encode(
    [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"push.example"),
        (b":path", b"/3/device/00ff"),
        (b"authorization", b"bearer secret"),
    ]
)


@attrs.define(eq=False)
class Request:
    """What has come of one request."""

    headers: dict[bytes, bytes]
    body: bytes = b""
    is_complete: bool = False
    reset_code: int | None = None


class H2Server:
    """One connection at the server's end; its SETTINGS by their h2 names hold from the start.

    `credits_data` says whether the windows for request bodies are opened again as they are read.
    """

    def __init__(self, *, credits_data: bool = True, **settings: int) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        values = {SettingCodes[name]: value for name, value in settings.items()}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.credits_data = credits_data
        self.requests: dict[int, Request] = {}
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.goaway_code: int | None = None
        self._raw = b""
        self.h2.initiate_connection()

    @property
    def complete(self) -> list[int]:
        """The streams whose requests have come whole."""
        return [stream_id for stream_id, request in self.requests.items() if request.is_complete]

    def receive(self, data: bytes) -> None:
        """Judge and take what the client sent; raises h2's ProtocolError."""
        for event in self.h2.receive_data(data):
            self._take(event)

    def outgoing(self) -> bytes:
        """Everything to send now."""
        data, self._raw = self.h2.data_to_send() + self._raw, b""
        return data

    def respond(
        self,
        stream_id: int,
        *,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """A whole answer; its body has to fit into the client's windows."""
        self.h2.send_headers(stream_id, [(":status", str(status)), *headers], end_stream=not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=True)

    def change(self, **settings: int) -> None:
        """New SETTINGS, by their h2 names; they hold when the client has acknowledged them."""
        self.h2.update_settings({SettingCodes[name]: value for name, value in settings.items()})

    def goaway(self, last_id: int, *, code: int = 0, debug: bytes = b"") -> None:
        """GOAWAY, after which h2 goes on, as servers do and it would not."""
        self.send_raw(frame(GOAWAY, 0, 0, WORD.pack(last_id) + WORD.pack(code) + debug))

    def send_raw(self, data: bytes) -> None:
        """Bytes past h2, after what it has to send."""
        self._raw += data

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream_id, headers=headers):
                self.requests[stream_id] = Request(dict(headers))
            case h2.events.DataReceived(stream_id=stream_id, data=data):
                self.requests[stream_id].body += data
                if self.credits_data:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
            case h2.events.StreamEnded(stream_id=stream_id):
                self.requests[stream_id].is_complete = True
            case h2.events.StreamReset(stream_id=stream_id, error_code=code):
                self.requests[stream_id].reset_code = int(code)
            case h2.events.PingReceived(ping_data=payload):
                self.pings.append(payload)
            case h2.events.PingAckReceived(ping_data=payload):
                self.pongs.append(payload)
            case h2.events.ConnectionTerminated(error_code=code):
                self.goaway_code = int(code)


def exchange(client: Http2Connection, server: H2Server, *, now: float = 0.0) -> list[Event]:
    """Carry bytes to and fro until neither side has any; what the client was told."""
    events: list[Event] = []
    while True:
        to_server = client.outgoing()
        if to_server:
            server.receive(to_server)
        to_client = server.outgoing()
        if to_client:
            events += client.receive(to_client, now)
        if not to_server and not to_client:
            return events


def connected(*, credits_data: bool = True, **settings: int) -> tuple[Http2Connection, H2Server]:
    """A client and a server that have seen each other's SETTINGS."""
    client, server = Http2Connection(), H2Server(credits_data=credits_data, **settings)
    exchange(client, server)
    return client, server
