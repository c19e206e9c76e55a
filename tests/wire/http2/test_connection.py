"""Requests and answers as the owner of a connection sees them, with h2 as the judge (PU-58 ff.)."""

import pytest
from h2.settings import SettingCodes
from tests.fakes.h2_server import BLOCK, H2Server, connected, exchange

from tocsin.wire.http2.connection import OPENING, Http2Connection
from tocsin.wire.http2.events import (
    Answer,
    Leaving,
    LimitsChanged,
    PingAnswered,
    Ready,
    Reset,
)
from tocsin.wire.http2.frames import GREATEST, ErrorCode
from tocsin.wire.http2.headers import encode
from tocsin.wire.http2.sending import LAST_ID, WAITING_LIMIT


def test_opens_with_preface_and_settings_and_waits_for_the_servers() -> None:
    """PU-58: push is off, headers are bounded, and nothing is admitted before SETTINGS came."""
    client, server = Http2Connection(), H2Server()
    assert not client.is_ready
    assert not client.admits(0)
    server.receive(client.outgoing())
    assert server.h2.remote_settings[SettingCodes.ENABLE_PUSH] == 0
    assert server.h2.remote_settings[SettingCodes.MAX_HEADER_LIST_SIZE] == 16_384
    assert client.receive(server.outgoing(), 0.0) == [Ready()]
    assert client.is_ready
    assert client.admits(4096)


def test_a_push_and_its_answer() -> None:
    """A request arrives as it was given, and the answer comes back whole."""
    client, server = connected()
    stream_id = client.request(BLOCK, b'{"aps":{}}')
    assert exchange(client, server) == []
    request = server.requests[stream_id]
    assert request.is_complete
    assert request.body == b'{"aps":{}}'
    assert request.headers[b":path"] == b"/3/device/00ff"
    assert request.headers[b"authorization"] == b"bearer secret"
    server.respond(stream_id, status=400, headers=[("apns-id", "x")], body=b'{"reason":"y"}')
    assert exchange(client, server) == [
        Answer(stream_id, 400, {b"apns-id": b"x"}, b'{"reason":"y"}')
    ]
    assert client.open_streams == 0


def test_a_block_in_parts_and_a_request_without_body() -> None:
    """Joined blocks make one request; without a body its headers end it."""
    client, server = connected()
    fixed = encode([(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a")])
    stream_id = client.request(fixed + encode([(b":path", b"/1"), (b"apns-id", b"7")]), b"")
    exchange(client, server)
    assert server.requests[stream_id].is_complete
    assert server.requests[stream_id].headers[b"apns-id"] == b"7"


def test_a_block_over_a_frame_is_continued() -> None:
    """A header block larger than the server's frames goes out with CONTINUATION."""
    client, server = connected(MAX_HEADER_LIST_SIZE=1 << 20)
    value = b"v" * 40_000
    stream_id = client.request(BLOCK + encode([(b"x-long", value)]), b"body")
    exchange(client, server)
    assert server.requests[stream_id].headers[b"x-long"] == value
    assert server.requests[stream_id].is_complete


def test_a_body_over_a_frame_is_cut() -> None:
    """A body larger than the server's frames goes out in several, at once."""
    client, server = connected()
    body = bytes(range(256)) * 200
    stream_id = client.request(BLOCK, body)
    server.receive(client.outgoing())
    assert server.requests[stream_id].body == body
    assert server.requests[stream_id].is_complete


def test_larger_frames_are_used_when_allowed() -> None:
    """PU-61: MAX_FRAME_SIZE is applied at once."""
    client, _ = connected(MAX_FRAME_SIZE=1 << 15)
    client.request(BLOCK, bytes(1 << 15))
    assert len(client.outgoing()) == 2 * 9 + len(BLOCK) + (1 << 15)


def test_interim_answers_and_trailers_are_dropped() -> None:
    """PU-59: 1xx before and trailers after an answer are not in it."""
    client, server = connected()
    stream_id = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.h2.send_headers(stream_id, [(":status", "103"), ("link", "x")])
    server.h2.send_headers(stream_id, [(":status", "100")])
    server.h2.send_headers(stream_id, [(":status", "200")])
    server.h2.send_data(stream_id, b"ok")
    server.h2.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)
    assert exchange(client, server) == [Answer(stream_id, 200, {}, b"ok")]


def test_padding_is_not_in_the_answer_and_is_given_back() -> None:
    """PU-59, PU-65: padding is dropped, and counts in the windows we open again."""
    client, server = connected()
    stream_id = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.h2.send_headers(stream_id, [(":status", "200")])
    for _ in range(500):
        server.h2.send_data(stream_id, b"12345678", pad_length=255)
        assert exchange(client, server) == []
        assert 32_000 < server.h2.streams[stream_id].outbound_flow_control_window <= 65_535
    server.h2.end_stream(stream_id)
    assert exchange(client, server) == [Answer(stream_id, 200, {}, b"12345678" * 500)]


def test_answers_are_given_back_at_half_a_window() -> None:
    """PU-65: one WINDOW_UPDATE for the connection when half of it is read, none before."""
    client, server = connected()
    for _ in range(8):
        stream_id = client.request(BLOCK, b"{}")
        exchange(client, server)
        before = server.h2.outbound_flow_control_window
        server.respond(stream_id, body=bytes(5_000))
        exchange(client, server)
        after = server.h2.outbound_flow_control_window
        assert after == before - 5_000 or after == 65_535
    assert server.h2.outbound_flow_control_window == 65_535 - 5_000


def test_an_answer_of_64_kib_is_taken_and_a_larger_one_is_reset() -> None:
    """PU-59: over 64 KiB only the stream ends, and the connection goes on."""
    client, server = connected()
    for size, expected in ((65_536, True), (65_537, False)):
        stream_id = client.request(BLOCK, b"{}")
        exchange(client, server)
        server.h2.send_headers(stream_id, [(":status", "200")])
        for start in range(0, size, 16_384):
            piece = bytes(min(16_384, size - start))
            server.h2.send_data(stream_id, piece, end_stream=start + len(piece) == size)
            events = exchange(client, server)
        if expected:
            assert events == [Answer(stream_id, 200, {}, bytes(size))]
        else:
            assert events == [Reset(stream_id, ErrorCode.CANCEL, was_sent=True)]
    assert client.open_streams == 0


def test_only_what_the_server_allows_is_admitted() -> None:
    """PU-61: the limit goes 1 to 100 to 1 in mid-flight; live streams are never reset."""
    client, server = connected(MAX_CONCURRENT_STREAMS=1)
    assert client.limit == 1
    first = client.request(BLOCK, b"{}")
    assert not client.admits(2)
    exchange(client, server)
    server.change(MAX_CONCURRENT_STREAMS=100)
    assert exchange(client, server) == [LimitsChanged()]
    streams = [first] + [client.request(BLOCK, b"{}") for _ in range(99)]
    assert not client.admits(2)
    exchange(client, server)
    server.change(MAX_CONCURRENT_STREAMS=1)
    exchange(client, server)
    assert (client.limit, client.open_streams) == (1, 100)
    for stream_id in streams:
        assert not client.admits(2)
        server.respond(stream_id)
        assert exchange(client, server) == [Answer(stream_id, 200, {}, b"")]
    assert client.admits(2)
    client.request(BLOCK, b"{}")
    exchange(client, server)


def test_without_a_limit_it_is_100() -> None:
    """PU-61: a server that says nothing gets 100 streams at once."""
    client, _ = connected()
    assert client.limit == 100


@pytest.mark.parametrize("is_flushed", [False, True])
def test_cancelled_streams_are_freed_at_once(is_flushed: bool) -> None:
    """PU-66: RST_STREAM(CANCEL), no event, and an answer on its way harms nobody."""
    client, server = connected(MAX_CONCURRENT_STREAMS=1)
    stream_id = client.request(BLOCK, b"{}")
    if is_flushed:
        exchange(client, server)
        server.respond(stream_id, headers=[("x-new", "in the table")], body=b"late")
    client.cancel(stream_id)
    client.cancel(stream_id)
    assert client.open_streams == 0
    assert client.admits(2)
    late = server.outgoing()
    exchange(client, server)
    assert client.receive(late, 0.0) == []
    second = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.respond(second, headers=[("x-new", "in the table")])
    assert exchange(client, server) == [Answer(second, 200, {b"x-new": b"in the table"}, b"")]


def test_data_of_cancelled_streams_is_given_back() -> None:
    """PU-59: what comes for streams we gave up does not use up the connection's window."""
    client, server = connected()
    for _ in range(20):
        stream_id = client.request(BLOCK, b"{}")
        exchange(client, server)
        server.respond(stream_id, body=bytes(16_000))
        late = server.outgoing()
        client.cancel(stream_id)
        assert client.receive(late, 0.0) == []
        exchange(client, server)
    assert server.h2.outbound_flow_control_window > 32_767


def test_reset_by_the_server() -> None:
    """PU-62: its code comes through, REFUSED_STREAM as any other."""
    client, server = connected()
    stream_id = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.h2.reset_stream(stream_id, ErrorCode.REFUSED_STREAM)
    assert exchange(client, server) == [Reset(stream_id, ErrorCode.REFUSED_STREAM, was_sent=True)]
    assert client.open_streams == 0


def test_an_answer_before_the_end_of_the_request() -> None:
    """PU-62: a complete answer counts, and the rest of the request is not sent."""
    client, server = connected(INITIAL_WINDOW_SIZE=4, credits_data=False)
    stream_id = client.request(BLOCK, b"too large")
    exchange(client, server)
    assert server.requests[stream_id].body == b"too "
    server.respond(stream_id, status=413)
    assert exchange(client, server) == [Answer(stream_id, 413, {}, b"")]
    assert server.requests[stream_id].reset_code == ErrorCode.CANCEL
    assert client.open_streams == 0


def test_an_answer_before_the_end_and_the_servers_own_reset() -> None:
    """RFC 9113, section 8.1: RST_STREAM(NO_ERROR) after an early answer changes nothing."""
    client, server = connected(INITIAL_WINDOW_SIZE=4, credits_data=False)
    stream_id = client.request(BLOCK, b"too large")
    exchange(client, server)
    server.respond(stream_id, status=413)
    server.h2.reset_stream(stream_id, ErrorCode.NO_ERROR)
    assert exchange(client, server) == [Answer(stream_id, 413, {}, b"")]


def test_what_was_sent_is_what_was_handed_out() -> None:
    """PU-62: a request counts as sent when its last byte was in `outgoing`, not before."""
    client, server = connected(INITIAL_WINDOW_SIZE=4, credits_data=False)
    whole = client.request(BLOCK, b"1234")
    cut = client.request(BLOCK, b"12345")
    assert (client.was_sent(whole), client.was_sent(cut)) == (False, False)
    exchange(client, server)
    assert (client.was_sent(whole), client.was_sent(cut)) == (True, False)
    server.h2.increment_flow_control_window(1, cut)
    client.receive(server.outgoing(), 0.0)
    assert (client.was_sent(whole), client.was_sent(cut)) == (True, False)
    client.outgoing()
    assert (client.was_sent(whole), client.was_sent(cut)) == (True, True)


def test_resets_say_whether_the_request_was_sent() -> None:
    """PU-62: the same knowledge is in the event that ends a stream."""
    client, server = connected(INITIAL_WINDOW_SIZE=4, credits_data=False)
    whole, cut = client.request(BLOCK, b"1234"), client.request(BLOCK, b"12345")
    exchange(client, server)
    server.h2.reset_stream(whole, ErrorCode.INTERNAL_ERROR)
    server.h2.reset_stream(cut, ErrorCode.INTERNAL_ERROR)
    assert exchange(client, server) == [
        Reset(whole, ErrorCode.INTERNAL_ERROR, was_sent=True),
        Reset(cut, ErrorCode.INTERNAL_ERROR, was_sent=False),
    ]


def test_goaway_refuses_what_is_above_and_the_rest_goes_on() -> None:
    """PU-64: a notice first, then a last id, then a lower one; answers below still come."""
    client, server = connected()
    streams = [client.request(BLOCK, b"{}") for _ in range(4)]
    exchange(client, server)
    server.goaway(GREATEST)
    assert exchange(client, server) == [Leaving(GREATEST, 0, b"", ())]
    assert client.is_leaving
    assert not client.admits(2)
    server.goaway(streams[2], debug=b'{"reason":"x"}')
    assert exchange(client, server) == [Leaving(streams[2], 0, b'{"reason":"x"}', (streams[3],))]
    server.goaway(streams[0], code=ErrorCode.ENHANCE_YOUR_CALM)
    assert exchange(client, server) == [
        Leaving(streams[0], ErrorCode.ENHANCE_YOUR_CALM, b"", (streams[1], streams[2]))
    ]
    assert client.open_streams == 1
    server.respond(streams[1], headers=[("x", "late")])
    server.respond(streams[0])
    assert exchange(client, server) == [Answer(streams[0], 200, {}, b"")]


def test_pings_both_ways() -> None:
    """PU-65: theirs are acknowledged, ours come back."""
    client, server = connected()
    client.ping(b"12345678")
    server.h2.ping(b"abcdefgh")
    assert exchange(client, server) == [PingAnswered(b"12345678")]
    assert server.pongs == [b"abcdefgh"]


def test_a_connection_is_closed_with_goaway() -> None:
    """After GOAWAY of ours nothing new is admitted, and what is open is still answered."""
    client, server = connected()
    stream_id = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.respond(stream_id)
    client.close()
    assert client.is_leaving
    assert not client.admits(2)
    answer = server.outgoing()
    server.receive(client.outgoing())
    assert server.goaway_code == ErrorCode.NO_ERROR
    assert client.receive(answer, 0.0) == [Answer(stream_id, 200, {}, b"")]


def test_stream_ids_are_used_up_before_they_run_out() -> None:
    """PU-65: before stream id 2^30 the connection wants to be replaced."""
    client, server = connected()
    client._sender._next_id = LAST_ID - 1
    assert not client.is_leaving
    last = client.request(BLOCK, b"{}")
    exchange(client, server)
    assert client.is_leaving
    assert not client.admits(2)
    server.respond(last)
    assert exchange(client, server) == [Answer(last, 200, {}, b"")]


def test_nothing_is_admitted_over_what_may_wait() -> None:
    """A server that answers and does not read cannot make requests pile up."""
    client, server = connected(INITIAL_WINDOW_SIZE=1 << 30, MAX_CONCURRENT_STREAMS=10_000)
    server.h2.increment_flow_control_window(1 << 30)
    exchange(client, server)
    body = bytes(1 << 16)
    while client.admits(len(body)):
        client.request(BLOCK, body)
    assert WAITING_LIMIT - 2 * len(body) < len(client.outgoing()) <= WAITING_LIMIT
    assert client.admits(len(body))


def test_opening_is_what_the_rfc_says() -> None:
    """RFC 9113, section 3.4: the preface, then SETTINGS."""
    assert OPENING.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x0c\x04\0\0\0\0\0")
