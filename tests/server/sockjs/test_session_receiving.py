"""tocsin.server.sockjs.session: what a client sends (SJ-19)."""

import pytest
from tests.fakes.sockjs import Settings, World

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.session import Handover


def echo(connection: Connection, message: str) -> None:
    connection.send(message)


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
