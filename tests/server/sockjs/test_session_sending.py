"""tocsin.server.sockjs.session: what waits for a client, and what it has proven."""

import pytest
from tests.fakes.sockjs import Settings, World

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.session import Handover

TRY_AGAIN = 'c[1013,"Try again later"]'


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
