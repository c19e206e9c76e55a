"""tocsin.server.sockjs.session: how a session ends (SJ-26)."""

import pytest
from tests.fakes.sockjs import Settings, World

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.receiver import STALLED

GO_AWAY = 'c[3000,"Go away!"]'


def go_away(connection: Connection) -> None:
    connection.close(3000, "Go away!")


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
