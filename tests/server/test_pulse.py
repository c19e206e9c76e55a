"""tocsin.server.pulse: what is due of a connection, and when its client is taken for dead."""

import attrs

from tocsin.server.pulse import Pulse
from tocsin.server.websocket import WsSettings

SETTINGS = WsSettings(ping_interval=30, check_interval=50)


@attrs.define
class Signs:
    """What a pulse sees of a link."""

    last_received: float = 0.0
    blocked_since: float | None = None


def pulse(role: str | None = None, *, cut_at: float | None = None) -> Pulse:
    """Of a connection that began at 0."""
    return Pulse(SETTINGS, role=role, now=0.0, cut_at=cut_at)


def test_the_earliest_of_all_is_due_next() -> None:
    """CH-55 to CH-57: a Ping, a check, the end of patience, the end of the token."""
    assert pulse().next_due(Signs(last_received=-80), is_owing=False) == 10
    assert pulse().next_due(Signs(), is_owing=False) == 30
    assert pulse(cut_at=20).next_due(Signs(), is_owing=False) == 20
    checked = pulse("server")
    checked.last_ping, checked.last_check = 40.0, 10.0
    assert checked.next_due(Signs(), is_owing=False) == 60
    checked.unsettled_since = -50.0
    assert checked.next_due(Signs(), is_owing=True) == 40
    assert checked.next_due(Signs(blocked_since=-60), is_owing=False) == 30


def test_what_is_due() -> None:
    """CH-55, CH-56: checks are the server's only where the channel says so."""
    assert [pulse().is_ping_due(at) for at in (29.9, 30)] == [False, True]
    assert [pulse("server").is_check_due(at) for at in (49.9, 50)] == [False, True]
    assert not pulse("client").is_check_due(1000)
    assert [pulse(cut_at=7).is_over(at) for at in (6.9, 7)] == [False, True]
    assert not pulse().is_over(1e9)


def test_who_is_taken_for_dead() -> None:
    """CH-57: after three intervals of silence, of a receipt owed, or of not reading."""
    one, signs = pulse(), Signs(last_received=10)
    assert [one.is_silent(signs, at, is_owing=False) for at in (99, 100)] == [False, True]
    one.unsettled_since = 5.0
    assert [one.is_silent(signs, at, is_owing=True) for at in (94, 95)] == [False, True]
    one.unsettled_since = 50.0
    assert [one.is_silent(signs, at, is_owing=True) for at in (99, 100)] == [False, True]
    assert not one.is_stalled(signs, 1000)
    signs.blocked_since = 20.0
    assert [one.is_stalled(signs, at) for at in (109, 110)] == [False, True]


def test_the_interval_of_a_client_that_checks() -> None:
    """CH-54: it counts from when it is told, and never less than two seconds of patience."""
    one, signs = pulse("client"), Signs()
    assert [one.is_silent(signs, at, is_owing=False) for at in (359, 360)] == [False, True]
    assert not one.adopt(None)
    assert one.adopt(100)
    assert not one.adopt(100)
    assert one.adopt(0.1)
    assert [one.is_silent(signs, at, is_owing=False) for at in (1.9, 2)] == [False, True]
    assert not pulse("server").adopt(1)
