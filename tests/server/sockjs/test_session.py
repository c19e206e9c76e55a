"""A session's life, rule by rule (sockjs.md, section 5), in a time that moves when told."""

import pytest
from tests.fakes.sockjs import Response, World

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.receiver import STALLED
from tocsin.server.sockjs.session import Handover

ANOTHER = 'c[2010,"Another connection still open"]'


# -- opening -----------------------------------------------------------------------------------


def test_a_poll_opens() -> None:
    """`o` and the end of the response; the rest comes with the next one (SJ-22)."""
    it = World()
    it.app.on_opened = lambda connection: connection.send("hi")
    first = it.poll()
    assert (first.frames, first.is_ended) == (["o"], True)
    assert it.app.events == [("opened",)]
    second = it.poll()
    assert (second.frames, second.is_ended) == (['a["hi"]'], True)


def test_a_stream_opens() -> None:
    """`o`, and what follows comes in the same response (SJ-22)."""
    it = World()
    frames_when_told: list[list[str]] = []

    def opened(connection: Connection) -> None:
        frames_when_told.append(list(response_of(it).frames))
        connection.send("a")
        connection.send("b", "c")

    it.app.on_opened = opened
    response = it.stream()
    assert frames_when_told == [["o"]]
    assert response.frames == ["o", 'a["a","b","c"]']
    assert not response.is_ended


def response_of(it: World) -> Response:
    """The receiver the session writes to, while it is inside `attach`."""
    receiver = it.session._receiver
    assert isinstance(receiver, Response)
    return receiver


def test_what_the_application_sees() -> None:
    """Principal and transport of the opening request, and counts (SJ-4, SJ-28)."""
    it = World()
    it.poll()
    assert it.session.key == "token"
    assert it.session.principal == "somebody"
    assert it.session.transport == "xhr-polling"
    assert it.session.is_open
    assert not it.session.is_closing
    it.session.send("é", "x")
    assert (it.session.sent, it.session.waiting, it.session.waiting_bytes) == (2, 2, 8 + 3)
    it.stream()
    assert (it.session.sent, it.session.waiting, it.session.waiting_bytes) == (2, 0, 0)
    assert it.session.transport == "xhr-polling"


# -- receivers ---------------------------------------------------------------------------------


def test_what_is_sent_leaves_at_once() -> None:
    """A receiver that takes frames gets one for each send (SJ-22)."""
    it = World()
    response = it.stream()
    it.session.send("a", "b")
    it.session.send("c")
    assert response.frames == ["o", 'a["a","b"]', 'a["c"]']


def test_a_waiting_poll_ends_with_its_frame() -> None:
    """One frame; what comes later waits for the next request (SJ-25)."""
    it = World()
    it.poll()
    poll = it.poll()
    assert (poll.frames, poll.is_ended) == ([], False)
    it.session.send("a")
    it.session.send("b")
    it.session.send("c")
    assert (poll.frames, poll.is_ended) == (['a["a"]'], True)
    assert it.poll().frames == ['a["b","c"]']


def test_response_limit() -> None:
    """The response ends after the frame that crosses it, and the session lives on (SJ-15)."""
    it = World()
    response = it.stream(limit=20)
    it.session.send("x" * 20)
    assert response.is_ended
    it.session.send("y")
    assert response.messages == ["x" * 20]
    assert it.stream().messages == ["y"]
    assert it.app.of("closed") == []


@pytest.mark.parametrize("is_late", [True, False])
def test_one_receiver_at_a_time(is_late: bool) -> None:
    """A second is told so and ended; the first and the session are unharmed (SJ-23)."""
    it = World()
    first = it.stream()
    for second in (it.poll(is_late=is_late), it.stream(is_late=is_late)):
        assert (second.frames, second.is_ended) == ([ANOTHER], True)
        it.session.broken(second)
        it.session.ended(second)
        it.session.drained(second)
    it.session.send("a")
    assert first.frames == ["o", 'a["a"]']
    assert it.app.events == [("opened",)]


def test_a_response_counts_until_its_last_byte() -> None:
    """While the end of a response is on its way, another request is one too many (SJ-23)."""
    it = World()
    first = it.poll(is_late=True)
    assert it.poll().frames == [ANOTHER]
    first.finish()
    it.session.send("a")
    assert it.poll().frames == ['a["a"]']


def test_a_receiver_breaks() -> None:
    """The session ends at once, its queue with it, and the application is told (SJ-24)."""
    it = World()
    response = it.stream()
    response.block()
    it.session.send("lost")
    response.break_off()
    assert it.app.events == [("opened",), ("closed", 1006)]
    assert it.gone == 1
    assert it.session.waiting == 0
    assert not it.session.is_open
    assert it.session.send("x") is False
    assert it.session.received(["x"]) is Handover.GONE
    it.clock.advance(60)
    assert it.gone == 1
    assert len(it.clock) == 0
    assert it.app.of("closed") == [1006]


def test_no_receiver_for_too_long() -> None:
    """Disconnect_delay after the last response ended the session ends (SJ-25)."""
    it = World()
    it.poll()
    it.clock.advance(4.9)
    it.session.send("a")
    poll = it.poll()
    assert poll.messages == ["a"]
    it.clock.advance(4.9)
    assert it.gone == 0
    it.clock.advance(0.1)
    assert it.gone == 1
    assert it.app.of("closed") == [1006]


def test_a_waiting_receiver_keeps_the_session() -> None:
    """The delay counts from the end of a response, not from its start (SJ-25)."""
    it = World()
    it.poll()
    poll = it.poll()
    it.clock.advance(24)
    it.session.send("a")
    assert poll.is_ended
    it.clock.advance(4.9)
    assert it.gone == 0
    it.clock.advance(0.1)
    assert it.gone == 1


def test_a_late_end_counts() -> None:
    """A response that takes long to leave keeps the session alive that long (SJ-25)."""
    it = World()
    response = it.poll(is_late=True)
    it.clock.advance(20)
    response.finish()
    it.clock.advance(4.9)
    assert it.gone == 0
    it.clock.advance(0.1)
    assert it.gone == 1


# -- heartbeats --------------------------------------------------------------------------------


def test_heartbeats() -> None:
    """`h` so long after the last frame of this response (SJ-27)."""
    it = World()
    response = it.stream()
    it.clock.advance(20)
    it.session.send("a")
    it.clock.advance(24.9)
    assert response.frames == ["o", 'a["a"]']
    it.clock.advance(0.1)
    assert response.frames == ["o", 'a["a"]', "h"]
    it.clock.advance(25)
    assert response.frames[2:] == ["h", "h"]


def test_a_poll_ends_with_its_heartbeat() -> None:
    """So long after its start, when nothing comes (SJ-27)."""
    it = World()
    it.poll()
    poll = it.poll()
    it.clock.advance(24.9)
    assert poll.frames == []
    it.clock.advance(0.1)
    assert (poll.frames, poll.is_ended) == (["h"], True)
    it.clock.advance(4.9)
    assert it.poll().frames == []


def test_no_heartbeat_for_one_that_does_not_read() -> None:
    """It is not reading; after a while it is given up, its session with it (SJ-28)."""
    it = World()
    response = it.stream()
    it.clock.advance(1)
    response.block()
    it.clock.advance(STALLED - 0.1)
    assert (response.frames, response.is_aborted) == (["o"], False)
    it.clock.advance(0.1)
    assert response.is_aborted
    assert it.app.of("closed") == [1013]
    assert it.gone == 1


def test_a_slow_reader_is_not_given_up() -> None:
    """As long as something moves (SJ-28)."""
    it = World()
    response = it.stream()
    for _ in range(10):
        response.block()
        it.clock.advance(STALLED - 1)
    response.unblock()
    assert not response.is_aborted
    it.clock.advance(25)
    assert response.frames[-1] == "h"


# -- the wheel ---------------------------------------------------------------------------------


def test_few_entries_in_the_wheel() -> None:
    """However often a client polls, the wheel holds a handful of entries for its session."""
    it = World()
    for _ in range(300):
        it.poll()
        it.poll()
        it.clock.advance(6)
        it.session.send("x")
        it.clock.advance(0.1)
    assert len(it.clock) <= 8
    assert it.session.tick(it.clock.now) is None
    it.clock.advance(60)
    assert len(it.clock) == 0
    assert it.gone == 1


def test_a_crash_with_a_receiver_in_closing() -> None:
    """Nothing is left that could crash again: the receiver is dropped too (SJ-26)."""
    it = World()
    response = it.stream()
    response.block()
    it.session.send("a")
    it.session.close()
    it.session.end(1011)
    assert response.is_aborted
    assert it.gone == 1
    it.clock.advance(100)
    assert len(it.clock) == 0
    assert it.app.of("closed") == [1000]


@pytest.mark.parametrize("is_closing", [True, False])
def test_a_crash(is_closing: bool) -> None:
    """Ended by the wheel, a session closes if it can, and is gone in any case (SJ-26)."""
    it = World()
    it.poll()
    if is_closing:
        it.session.close()
    it.session.end(1011)
    assert not it.session.is_open
    if not is_closing:
        assert it.poll().frames == ['c[1011,"Internal error"]']
    it.clock.advance(10)
    assert it.gone == 1
    assert len(it.app.of("closed")) == 1


def test_who_waits_for_room_is_told_when_nobody_will_read() -> None:
    """The client has left, and what it had sent is not handled yet: that there is room is said
    before that, and `closed` comes behind it."""
    it = World()
    response = it.stream()
    it.session.pause()
    it.session.received(["1"])
    response.block()
    it.session.send("waits")
    response.break_off()
    assert it.app.events == [("opened",), ("drained",)]
    it.session.resume()
    assert it.app.events[2:] == [("received", "1"), ("closed", 1006)]


def test_bytes_are_text() -> None:
    """A message may be UTF-8 already; the frame is the same (SJ-12)."""
    it = World()
    response = it.stream()
    it.session.send("é", "é".encode())
    assert response.frames == ["o", 'a["\\u00e9","\\u00e9"]']
