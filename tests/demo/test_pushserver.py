"""tocsin.demo.pushserver, against our own client and against a strict one (OP-2)."""

import h2.config
import h2.connection
import h2.events
import pytest

from tocsin.demo.pushserver import BODY_BYTES, STREAMS, Push, PushServer
from tocsin.wire.http2.connection import Http2Connection
from tocsin.wire.http2.events import Answer, Event, PingAnswered
from tocsin.wire.http2.frames import DATA, PREFACE, SETTINGS, ConnectionViolation, frame
from tocsin.wire.http2.headers import encode

REQUEST = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "push.example"),
    (":path", "/3/device/abab"),
    ("apns-id", "id-1"),
]
BLOCK = encode([(name.encode(), value.encode()) for name, value in REQUEST])


def exchange(client: Http2Connection, server: PushServer, *, piece: int) -> list[Event]:
    """Carry bytes to and fro, to the server in pieces of this size; each push is answered."""
    events: list[Event] = []
    while (data := client.outgoing()) or not events:
        for at in range(0, len(data), piece):
            for push in server.receive(data[at : at + piece]):
                server.answer(push)
        if not (back := server.outgoing()):
            break
        events += client.receive(back, 0.0)
    return events


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_our_client(piece: int) -> None:
    """Many requests over one connection, beyond the first window of the connection, however the
    bytes are cut; each has its answer with its `apns-id`, and a Ping is answered."""
    client, server = Http2Connection(), PushServer()
    exchange(client, server, piece=piece)
    assert client.limit == STREAMS
    body = b"x" * 4000
    for _ in range(40):
        assert client.admits(len(body))
        stream_id = client.request(BLOCK, body)
        client.ping(b"12345678")
        events = exchange(client, server, piece=piece)
        assert Answer(stream_id, 200, {b"apns-id": b"id-1"}, b"") in events
        assert PingAnswered(b"12345678") in events
    assert client.open_streams == 0


def test_a_strict_client() -> None:
    """Every frame of ours is one that h2 takes; what it sends arrives whole, with its headers,
    padding taken off and headers in several frames put together."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server = PushServer()
    client.initiate_connection()
    client.receive_data(server.outgoing())
    long = ("apns-extra", "y" * 40_000)
    client.send_headers(1, [*REQUEST, long])
    client.send_data(1, b"{}", end_stream=True, pad_length=9)
    [push] = server.receive(client.data_to_send())
    assert push == Push(1, {**dict(REQUEST), "apns-extra": long[1]}, b"{}")
    server.answer(push, 400)
    answers = [
        event
        for event in client.receive_data(server.outgoing())
        if isinstance(event, h2.events.ResponseReceived)
    ]
    [answer] = answers
    assert answer.headers is not None
    assert dict(answer.headers) == {b":status": b"400", b"apns-id": b"id-1"}


def test_what_was_cancelled_is_no_push() -> None:
    """A request that is reset before its end is never handed out."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server = PushServer()
    client.initiate_connection()
    client.send_headers(1, REQUEST)
    client.reset_stream(1)
    client.send_headers(3, REQUEST, end_stream=True)
    assert [push.stream_id for push in server.receive(client.data_to_send())] == [3]


def test_bounds() -> None:
    """Who is no client, and who sends too much, is not listened to any more."""
    with pytest.raises(ConnectionViolation, match="no preface"):
        PushServer().receive(b"GET / HTTP/1.1\r\n\r\n")
    for over in ("streams", "body"):
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        server = PushServer()
        client.initiate_connection()
        for number in range(STREAMS + 1 if over == "streams" else 1):
            client.send_headers(2 * number + 1, REQUEST)
        if over == "body":
            client.send_data(1, bytes(BODY_BYTES + 1))
        with pytest.raises(ConnectionViolation, match="too"):
            server.receive(client.data_to_send())


def test_a_broken_header_block() -> None:
    """A block that cannot be decoded ends the connection."""
    with pytest.raises(ConnectionViolation, match="bad header block"):
        PushServer().receive(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(1, 5, 1, b"\xff" * 9))


def test_data_of_nobody() -> None:
    """DATA of a stream that has ended is passed over, and its window given back."""
    server = PushServer()
    server.outgoing()
    assert server.receive(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(DATA, 0, 1, b"xx")) == []
    assert server.outgoing().endswith(b"\x00\x00\x00\x02")
