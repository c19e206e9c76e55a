"""A session's life, rule by rule (sockjs.md, section 5), in a time that moves when told."""

import pytest
from tests.fakes.sockjs import Response, Settings, World

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.receiver import STALLED
from tocsin.server.sockjs.session import Handover

ANOTHER = 'c[2010,"Another connection still open"]'
GO_AWAY = 'c[3000,"Go away!"]'
TRY_AGAIN = 'c[1013,"Try again later"]'


def go_away(connection: Connection) -> None:
    connection.close(3000, "Go away!")


def echo(connection: Connection, message: str) -> None:
    connection.send(message)


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


# -- the outbox --------------------------------------------------------------------------------


def test_what_waits_leaves_in_one_frame() -> None:
    """A blocked receiver takes nothing; when it has read, all that waits comes at once (SJ-25)."""
    it = World()
    response = it.stream()
    response.block()
    it.session.send("a")
    it.session.send("b")
    assert response.frames == ["o"]
    response.unblock()
    assert response.frames == ["o", 'a["a","b"]']
    assert it.app.of("drained") == [None]


def test_drained() -> None:
    """Told once for what had waited, never for what left at once, never inside `send` (SJ-28)."""
    it = World()
    response = it.stream()
    it.session.send("a")
    assert it.app.of("drained") == []
    response.block()
    it.session.send("b")
    pages = [["c", "d"], ["e"], []]
    it.app.on_drained = lambda connection: connection.send(*pages.pop(0))
    response.unblock()
    assert response.frames[2:] == ['a["b"]', 'a["c","d"]']
    it.clock.advance(0)
    assert response.frames[4:] == ['a["e"]']
    assert pages == []


def test_feeding_a_poll_page_by_page() -> None:
    """An application that sends more whenever there is room fills one poll after the other."""
    it = World()
    pages = ["1", "2", "3"]

    def feed(connection: Connection) -> None:
        if pages:
            connection.send(pages.pop(0))

    it.app.on_opened = it.app.on_drained = feed
    assert [it.poll().frames for _ in range(4)] == [["o"], ['a["1"]'], ['a["2"]'], ['a["3"]']]


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (Settings(outbox_messages=3), ["a", "b", "c", "d"]),
        (Settings(outbox_bytes=12), ["aaaa", "bbbb", "c"]),
        (Settings(outbox_bytes=12), ["é", "\x00", "\x01"]),
    ],
)
def test_beyond_the_outbox(settings: Settings, messages: list[str]) -> None:
    """What does not fit closes the session, behind all that did (SJ-28)."""
    it = World(settings=settings)
    it.poll()
    fits, beyond = messages[:-1], messages[-1]
    if messages[0] == "é":
        fits, beyond = messages[:1], messages[1]
    assert all(it.session.send(message) for message in fits)
    assert it.session.send(beyond) is False
    assert it.session.sent == len(fits)
    assert it.app.of("closed") == []
    it.clock.advance(0)
    assert it.app.of("closed") == [1013]
    assert it.poll().messages == fits
    assert it.poll().frames == [TRY_AGAIN]


def test_a_message_larger_than_the_outbox() -> None:
    """A first one always fits, or it could never be sent (SJ-28)."""
    it = World(settings=Settings(outbox_bytes=10))
    it.poll()
    assert it.session.send("x" * 100)
    assert not it.session.send("y")


def test_a_burst_larger_than_the_outbox() -> None:
    """While a receiver takes frames, more than the outbox holds can be sent in one go (SJ-28)."""
    it = World(settings=Settings(outbox_messages=3))
    response = it.stream()
    it.app.on_received = lambda connection, message: connection.send(*message)
    assert it.session.received(["abcdefg"]) is Handover.TAKEN
    assert response.messages == list("abcdefg")
    assert it.app.of("closed") == []


# -- closing -----------------------------------------------------------------------------------


def test_closed_while_opening() -> None:
    """A poll ends with `o`, a stream goes on to `c`; then every receiver gets it (SJ-26)."""
    polled, streamed = World(), World()
    polled.app.on_opened = streamed.app.on_opened = go_away
    assert polled.poll().frames == ["o"]
    assert [polled.poll().frames for _ in range(3)] == [[GO_AWAY]] * 3
    response = streamed.stream()
    assert (response.frames, response.is_ended) == (["o", GO_AWAY], True)
    assert streamed.stream().frames == streamed.poll().frames == [GO_AWAY]
    assert polled.app.events == streamed.app.events == [("opened",), ("closed", 3000)]


def test_queued_messages_go_first() -> None:
    """Then `c`, then the response ends (SJ-26)."""
    it = World()
    it.poll()
    it.session.send("a")
    it.session.send("b")
    it.session.close(3000, "Go away!")
    response = it.stream()
    assert (response.frames, response.is_ended) == (['a["a","b"]', GO_AWAY], True)


def test_queued_messages_go_first_on_polls() -> None:
    """One response with the messages, the next with `c` (SJ-26)."""
    it = World()
    it.poll()
    it.session.send("a")
    it.session.close(3000, "Go away!")
    assert [it.poll().frames for _ in range(3)] == [['a["a"]'], [GO_AWAY], [GO_AWAY]]


def test_closing_behind_a_slow_reader() -> None:
    """`c` waits for the messages before it, and the others get theirs at once (SJ-26)."""
    it = World()
    response = it.stream()
    response.block()
    it.session.send("a")
    it.session.close(3000, "Go away!")
    assert response.frames == ["o"]
    assert it.poll().frames == [GO_AWAY]
    response.unblock()
    assert response.frames == ["o", 'a["a"]', GO_AWAY]
    assert response.is_ended


def test_two_receivers_at_once_get_the_close_frame() -> None:
    """Also while the first one's is still on its way (SJ-26)."""
    it = World()
    it.poll()
    it.session.close(3000, "Go away!")
    first = it.poll(is_late=True)
    assert first.frames == it.poll().frames == [GO_AWAY]


def test_closing_ends_in_time() -> None:
    """Receivers that get `c` do not prolong the delay (SJ-26, MS-10)."""
    it = World()
    response = it.stream()
    it.session.close(3000, "Go away!")
    assert response.is_ended
    for _ in range(4):
        it.clock.advance(1.2)
        assert it.session.is_closing
        assert it.poll().frames == [GO_AWAY]
    it.clock.advance(0.2)
    assert it.gone == 1
    assert not it.session.is_closing


def test_closed_between_receivers() -> None:
    """The delay starts again, so that the next poll can learn of it (SJ-26, MS-10)."""
    it = World()
    it.poll()
    it.clock.advance(4)
    it.session.close(3000, "Unauthorized")
    it.clock.advance(4.9)
    assert it.poll().frames == ['c[3000,"Unauthorized"]']
    it.clock.advance(0.1)
    assert it.gone == 1


def test_a_receiver_with_messages_prolongs_closing() -> None:
    """Or the poll after it would miss `c` (SJ-26)."""
    it = World()
    it.poll()
    it.session.send("a")
    it.session.close(3000, "Go away!")
    it.clock.advance(4.9)
    assert it.poll().messages == ["a"]
    it.clock.advance(4.9)
    assert it.poll().frames == [GO_AWAY]
    it.clock.advance(0.1)
    assert it.gone == 1


def test_a_receiver_breaks_in_closing() -> None:
    """The close frame stays for the next one; what was lost with the receiver is not skipped
    over (SJ-26)."""
    it = World()
    response = it.stream()
    response.block()
    it.session.send("a")
    it.session.close(3000, "Go away!")
    response.break_off()
    assert it.poll().frames == [GO_AWAY]
    assert it.app.of("closed") == [3000]
    it.clock.advance(5)
    assert it.gone == 1


def test_a_stalled_receiver_in_closing() -> None:
    """It is given up too, and the session after it (SJ-28)."""
    it = World()
    response = it.stream()
    response.block()
    it.session.send("a")
    it.session.close(3000, "Go away!")
    it.clock.advance(STALLED)
    assert response.is_aborted
    it.clock.advance(5)
    assert it.gone == 1


def test_closing_twice() -> None:
    """The first word counts (SJ-26)."""
    it = World()
    it.poll()
    it.session.close()
    it.session.close(3000, "Go away!")
    assert it.poll().frames == ['c[1000,"Normal closure"]']
    it.clock.advance(10)
    assert it.app.of("closed") == [1000]


def test_a_code_that_is_the_clients() -> None:
    """Refused, and the session lives on (SJ-35)."""
    it = World()
    it.poll()
    with pytest.raises(ValueError, match="1006"):
        it.session.close(1006, "x")
    assert it.session.is_open


def test_closed_is_told_outside_of_the_applications_call() -> None:
    """Neither inside `close` nor inside `send`, but right after (SJ-26, SJ-28)."""
    it = World(settings=Settings(outbox_messages=1))
    it.poll()
    assert not it.session.send("a", "b")
    assert it.app.of("closed") == []
    it.clock.advance(0)
    assert it.app.of("closed") == [1013]


# -- receiving ---------------------------------------------------------------------------------


def test_an_echo() -> None:
    """Messages arrive in order; answers of one body leave in one frame (SJ-19, SJ-20)."""
    it = World()
    it.app.on_received = echo
    response = it.stream()
    assert it.session.received(["a", "\ud800", "\uffff"]) is Handover.TAKEN
    assert it.app.of("received") == ["a", "\ud800", "\uffff"]
    assert response.frames == ["o", 'a["a","\\ud800","\\uffff"]']


def test_between_receivers() -> None:
    """Sends are allowed then too (SJ-20)."""
    it = World()
    it.app.on_received = echo
    it.poll()
    assert it.session.received(["a"]) is it.session.received([]) is Handover.TAKEN
    assert it.poll().frames == ['a["a"]']


def test_one_at_a_time() -> None:
    """What comes while a message is in hand waits, in order (MS-19)."""
    it = World()
    it.stream()
    it.app.on_received = lambda connection, _message: connection.pause()
    it.session.received(["a", "b"])
    it.session.received(["c"])
    assert it.app.of("received") == ["a"]
    it.session.resume()
    assert it.app.of("received") == ["a", "b"]
    it.app.on_received = echo
    it.session.resume()
    assert it.app.of("received") == ["a", "b", "c"]


def test_resumed_inside_the_call() -> None:
    """As by an application that was done at once: no message overtakes another, and answers
    leave together, however many there are (MS-19)."""
    it = World()
    response = it.stream()

    def handle(connection: Connection, message: str) -> None:
        connection.pause()
        connection.send(message)
        connection.resume()

    it.app.on_received = handle
    it.session.received(["a", "b", "c"])
    assert it.app.of("received") == ["a", "b", "c"]
    assert response.frames == ["o", 'a["a","b","c"]']
    it.session.received(["x"] * 5000)
    assert len(response.messages) == 5003


@pytest.mark.parametrize(
    "settings", [Settings(inbox_messages=2), Settings(inbox_bytes=4), Settings(inbox_bytes=3)]
)
def test_a_full_inbox(settings: Settings) -> None:
    """A body is taken whole or not at all; who waits is called when there is room (SJ-19)."""
    it = World(settings=settings)
    it.stream()
    it.session.pause()
    calls: list[str] = []
    assert it.session.received(["é", "é"]) is Handover.TAKEN
    assert it.session.received(["c"]) is Handover.FULL
    assert it.session.received([]) is Handover.TAKEN
    it.session.when_room(lambda: calls.append("first"))
    it.session.when_room(lambda: calls.append("second"))()
    it.session.resume()
    assert it.app.of("received") == ["é", "é"]
    assert calls == ["first"]
    assert it.session.received(["c"]) is Handover.TAKEN
    assert calls == ["first"]


def test_room_that_is_none() -> None:
    """Nobody is called while the inbox is still full (SJ-19)."""
    it = World(settings=Settings(inbox_messages=2))
    it.stream()
    it.app.on_received = lambda connection, _message: connection.pause()
    it.session.received(["a", "b", "c", "d"])
    calls: list[str] = []
    it.session.when_room(lambda: calls.append("room"))
    it.session.resume()
    assert calls == []
    it.session.resume()
    assert calls == ["room"]


def test_a_body_larger_than_the_inbox() -> None:
    """One with any room takes it: its bound is the limit and one body (SJ-19)."""
    it = World(settings=Settings(inbox_messages=2))
    it.stream()
    it.session.pause()
    it.session.received(["a"])
    assert it.session.received(list("bcdef")) is Handover.TAKEN
    assert it.session.received(["g"]) is Handover.FULL


@pytest.mark.parametrize("closes", [True, False])
def test_waiting_for_room_when_all_is_over(closes: bool) -> None:
    """Who waits is called then too, and sees what became of the session (SJ-19)."""
    it = World(settings=Settings(inbox_messages=1))
    response = it.stream()
    it.session.pause()
    it.session.received(["a"])
    calls: list[Handover] = []
    it.session.when_room(lambda: calls.append(it.session.received(["b"])))
    if closes:
        it.session.close()
    else:
        response.break_off()
    assert calls == [Handover.CLOSING if closes else Handover.GONE]


def test_sends_while_closing() -> None:
    """Dropped, and told apart for the count: it is no 404 (SJ-18)."""
    it = World()
    it.poll()
    it.session.close()
    assert it.session.received(["a"]) is Handover.CLOSING
    assert it.app.of("received") == []


def test_what_a_client_sent_before_it_left() -> None:
    """Is handled to the end, and only then is the application told (SJ-19, SJ-24)."""
    it = World()
    response = it.stream()
    it.session.pause()
    it.session.received(["a", "b"])
    response.break_off()
    assert it.gone == 1
    assert it.app.events == [("opened",)]
    it.session.resume()
    assert it.app.events[1:] == [("received", "a"), ("received", "b"), ("closed", 1006)]


def test_what_waits_when_the_application_closes() -> None:
    """It does not want more of it (SJ-26)."""
    it = World()
    it.stream()
    it.session.pause()
    it.session.received(["a", "b"])
    it.session.close()
    it.session.resume()
    assert it.app.events == [("opened",), ("closed", 1000)]


def test_closed_in_the_middle_of_a_body() -> None:
    """The rest of the body is dropped with it (SJ-26)."""
    it = World()
    it.stream()
    it.app.on_received = lambda connection, _message: connection.close()
    it.session.received(["a", "b"])
    assert it.app.events == [("opened",), ("received", "a"), ("closed", 1000)]


# -- proof -------------------------------------------------------------------------------------


def test_the_next_request_proves() -> None:
    """It shows that every response before it was read to its end (SJ-29)."""
    it = World()
    it.poll()
    it.session.send("a", "b")
    it.poll()
    assert it.app.of("proven") == []
    it.session.send("c")
    it.poll()
    assert it.app.of("proven") == [2]
    it.poll()
    assert it.app.of("proven") == [2, 3]
    it.poll()
    assert it.app.of("proven") == [2, 3]


def test_one_too_many_proves_nothing() -> None:
    """The first response has not ended yet (SJ-23, SJ-29)."""
    it = World()
    it.stream()
    it.session.send("a")
    it.poll()
    assert it.app.of("proven") == []


def test_proven_before_more_is_sent() -> None:
    """What the application sends on hearing of it comes in the response that proved."""
    it = World()
    it.poll()
    it.session.send("a")
    it.poll()
    it.app.on_proven = lambda connection: connection.send("b")
    assert it.poll().frames == ['a["b"]']


def test_a_stream_ends_for_the_sake_of_proof() -> None:
    """So long after the first unproven message (SJ-29)."""
    it = World(settings=Settings(prove_within=5))
    response = it.stream()
    it.clock.advance(60)
    assert not response.is_ended
    it.session.send("a")
    it.clock.advance(4)
    it.session.send("b")
    it.clock.advance(0.9)
    assert not response.is_ended
    it.clock.advance(0.1)
    assert response.is_ended
    assert response.frames[-2:] == ['a["a"]', 'a["b"]']
    again = it.stream()
    assert it.app.of("proven") == [2]
    it.clock.advance(24)
    assert not again.is_ended


def test_no_end_for_the_sake_of_proof_by_default() -> None:
    """0 is off (SJ-29)."""
    it = World()
    response = it.stream()
    it.session.send("a")
    it.clock.advance(100)
    assert not response.is_ended


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
