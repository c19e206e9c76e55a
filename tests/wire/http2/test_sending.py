"""Flow control of requests: h2 raises if any frame overruns a window it gave (PU-60, PU-61)."""

import pytest
from hypothesis import given
from hypothesis import settings as running
from hypothesis import strategies as st
from tests.fakes.h2_server import BLOCK, H2Server, connected, exchange

from tocsin.wire.http2.connection import Http2Connection
from tocsin.wire.http2.events import Reset
from tocsin.wire.http2.frames import GREATEST, ErrorCode, window_update


def test_a_body_that_fits_its_stream_waits_for_the_whole_connection_window() -> None:
    """PU-60: nothing is begun that the connection's window would cut."""
    client, server = connected(credits_data=False)
    client.request(BLOCK, bytes(65_000))
    assert client.admits(535)
    assert not client.admits(536)
    exchange(client, server)
    server.h2.increment_flow_control_window(1)
    exchange(client, server)
    assert client.admits(536)


def test_small_bodies_use_up_the_connection_window() -> None:
    """PU-60: as many pushes go out as the window holds, and no byte more."""
    client, server = connected(credits_data=False)
    count = 0
    while client.admits(4_000):
        client.request(BLOCK, bytes(4_000))
        count += 1
    assert count == 65_535 // 4_000
    assert client.admits(1_535)
    assert not client.admits(1_536)
    exchange(client, server)
    assert len(server.complete) == count


def test_an_initial_window_of_zero() -> None:
    """PU-60: headers go out, the body when the server opens the stream."""
    client, server = connected(INITIAL_WINDOW_SIZE=0, credits_data=False)
    assert client.admits(5)
    stream_id = client.request(BLOCK, b"12345")
    exchange(client, server)
    assert server.requests[stream_id].body == b""
    server.h2.increment_flow_control_window(2, stream_id)
    exchange(client, server)
    assert server.requests[stream_id].body == b"12"
    assert not server.requests[stream_id].is_complete
    server.change(INITIAL_WINDOW_SIZE=100)
    exchange(client, server)
    assert server.requests[stream_id].body == b"12345"
    assert server.requests[stream_id].is_complete


def test_an_initial_window_of_one() -> None:
    """PU-60: bodies arrive byte by byte, those of several streams side by side."""
    client, server = connected(INITIAL_WINDOW_SIZE=1)
    bodies = {client.request(BLOCK, body): body for body in (b"first", b"second", b"1", b"")}
    exchange(client, server)
    assert {stream_id: server.requests[stream_id].body for stream_id in bodies} == bodies
    assert server.complete == list(bodies)


def test_windows_may_be_negative() -> None:
    """RFC 9113, section 6.9.2: a lowered initial window takes back what was not used."""
    client, server = connected(INITIAL_WINDOW_SIZE=10, credits_data=False)
    stream_id = client.request(BLOCK, b"0123456789abcdef")
    exchange(client, server)
    server.change(INITIAL_WINDOW_SIZE=4)
    exchange(client, server)
    assert server.h2.remote_flow_control_window(stream_id) == -6
    server.h2.increment_flow_control_window(6, stream_id)
    exchange(client, server)
    assert server.requests[stream_id].body == b"0123456789"
    server.h2.increment_flow_control_window(1, stream_id)
    exchange(client, server)
    assert server.requests[stream_id].body == b"0123456789a"
    server.change(INITIAL_WINDOW_SIZE=20)
    exchange(client, server)
    assert server.requests[stream_id].body == b"0123456789abcdef"


def test_the_oldest_stream_is_served_first() -> None:
    """When the connection's window opens, bodies under way end in the order they began."""
    client, server = connected(INITIAL_WINDOW_SIZE=40_000, credits_data=False)
    first, second = (client.request(BLOCK, bytes(50_000)) for _ in range(2))
    exchange(client, server)
    assert [len(request.body) for request in server.requests.values()] == [40_000, 25_535]
    server.change(INITIAL_WINDOW_SIZE=60_000)
    exchange(client, server)
    server.h2.increment_flow_control_window(10_001)
    exchange(client, server)
    assert len(server.requests[first].body) == 50_000
    assert len(server.requests[second].body) == 25_536


def test_a_cancelled_body_frees_what_it_held() -> None:
    """PU-66: what waits of a cancelled body is dropped, and the next is not held up by it."""
    client, server = connected(INITIAL_WINDOW_SIZE=1, credits_data=False)
    body = bytes(3 << 20)
    held = client.request(BLOCK, body)
    exchange(client, server)
    assert not client.admits(len(body))
    client.cancel(held)
    assert client.admits(len(body))
    exchange(client, server)
    assert server.requests[held].reset_code == ErrorCode.CANCEL


@pytest.mark.parametrize("size", [0, 2, 40_000])
def test_what_is_cancelled_unsent_never_ends(size: int) -> None:
    """PU-62: whoever is told that it was not sent may rely on that, whenever the rest is written;
    other requests go out, and the window is as if it had not been."""
    client, server = connected(credits_data=False)
    before, cancelled, after = (client.request(BLOCK, bytes(n)) for n in (10, size, 20))
    assert not client.was_sent(cancelled)
    client.cancel(cancelled)
    exchange(client, server)
    assert server.complete == [before, after]
    assert server.requests[cancelled].body == b""
    assert server.requests[cancelled].reset_code == ErrorCode.CANCEL
    assert client.admits(65_535 - 30)
    assert not client.admits(65_535 - 29)


def test_what_is_cancelled_half_sent_never_ends() -> None:
    """PU-62: the same where a part was handed out before, and the rest waits to be."""
    client, server = connected(INITIAL_WINDOW_SIZE=5, credits_data=False)
    cancelled = client.request(BLOCK, b"0123456789")
    exchange(client, server)
    server.change(INITIAL_WINDOW_SIZE=100)
    client.receive(server.outgoing(), 0.0)
    assert not client.was_sent(cancelled)
    client.cancel(cancelled)
    exchange(client, server)
    assert server.requests[cancelled].body == b"01234"
    assert server.complete == []
    assert server.requests[cancelled].reset_code == ErrorCode.CANCEL


def test_the_window_of_what_is_cancelled_lets_out_what_waits() -> None:
    """PU-60: a body under way is not held up for ever by one that never left."""
    client, server = connected(INITIAL_WINDOW_SIZE=100_000, credits_data=False)
    cancelled, waiting = client.request(BLOCK, bytes(60_000)), client.request(BLOCK, bytes(65_000))
    client.cancel(cancelled)
    exchange(client, server)
    assert server.complete == [waiting]


def test_a_stream_window_over_the_greatest_ends_the_stream() -> None:
    """RFC 9113, section 6.9.1: FLOW_CONTROL_ERROR, and the connection goes on."""
    client, server = connected()
    stream_id = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.send_raw(window_update(stream_id, GREATEST))
    assert exchange(client, server) == [
        Reset(stream_id, ErrorCode.FLOW_CONTROL_ERROR, was_sent=True)
    ]
    assert client.admits(2)


def test_what_was_sent_counts_in_the_greatest_window() -> None:
    """RFC 9113, section 6.9.1: a window is what was given less what was used."""
    client, server = connected()
    stream_id = client.request(BLOCK, b"12")
    server.receive(client.outgoing())
    server.send_raw(window_update(stream_id, GREATEST - 65_535 + 2))
    assert Reset not in map(type, exchange(client, server))
    server.send_raw(window_update(stream_id, 1))
    assert Reset in map(type, exchange(client, server))


STEPS = st.one_of(
    st.tuples(st.just("request"), st.integers(0, 40_000)),
    st.tuples(st.just("initial"), st.integers(0, 70_000)),
    st.tuples(st.just("frame"), st.integers(16_384, 40_000)),
    st.tuples(st.just("limit"), st.integers(0, 5)),
    st.tuples(st.just("connection"), st.integers(1, 50_000)),
    st.tuples(st.just("stream"), st.integers(1, 50_000)),
    st.tuples(st.just("respond"), st.integers(0, 5)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
)


@running(deadline=None)
@given(steps=st.lists(STEPS, max_size=40), late=st.booleans())
def test_no_window_and_no_limit_is_ever_overrun(steps: list[tuple[str, int]], late: bool) -> None:
    """Whatever the server does to its limits, h2 finds every frame of ours within them.

    Once without and once with frames of the two sides crossing each other. In the end, with all
    windows open, every body has arrived.
    """
    client, server = connected(credits_data=False)
    bodies: dict[int, bytes] = {}
    for name, amount in steps:
        if name == "request":
            if client.admits(amount):
                bodies[client.request(BLOCK, bytes(amount))] = bytes(amount)
        else:
            _act(name, amount, client, server, bodies)
        if late:
            to_client = server.outgoing()
            server.receive(client.outgoing())
            client.receive(to_client, 0.0)
        else:
            exchange(client, server)
    exchange(client, server)
    server.change(INITIAL_WINDOW_SIZE=1 << 20)
    server.h2.increment_flow_control_window(1 << 22)
    exchange(client, server)
    assert {stream_id: server.requests[stream_id].body for stream_id in bodies} == bodies
    assert all(server.requests[stream_id].is_complete for stream_id in bodies)


def _act(
    name: str, amount: int, client: Http2Connection, server: H2Server, bodies: dict[int, bytes]
) -> None:
    if name == "initial":
        server.change(INITIAL_WINDOW_SIZE=amount)
    elif name == "frame":
        # h2 measures all frames of one read by the size that held before it.
        server.change(MAX_FRAME_SIZE=amount)
        exchange(client, server)
    elif name == "limit":
        server.change(MAX_CONCURRENT_STREAMS=amount)
    elif name == "connection":
        server.h2.increment_flow_control_window(amount)
    elif bodies:
        stream_id = list(bodies)[amount % len(bodies)]
        if name == "cancel":
            client.cancel(stream_id)
            del bodies[stream_id]
        elif stream_id not in server.requests:
            return
        elif name == "stream":
            server.h2.increment_flow_control_window(amount, stream_id)
        elif server.requests[stream_id].is_complete:
            server.respond(stream_id)
            del bodies[stream_id]


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 32_768, 65_535])
def test_bodies_at_the_borders_of_frames(size: int) -> None:
    """A body is cut into as few frames as it needs and ends with the last of them."""
    client, server = connected()
    stream_id = client.request(BLOCK, bytes(size))
    data = client.outgoing()
    assert len(data) == 9 + len(BLOCK) + size + 9 * -(-size // 16_384)
    server.receive(data)
    assert server.requests[stream_id].is_complete
