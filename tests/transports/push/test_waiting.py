"""Tests of the line of calls."""

from tocsin.model.notification import Priority
from tocsin.transports.push.call import Call
from tocsin.transports.push.waiting import Waiting


def call_of(priority: Priority) -> Call:
    return Call(b"", b"", priority, 0.0, None)


def test_urgent_first_then_by_arrival() -> None:
    """PU-60: first come, first served within urgent, normal and low."""
    line = Waiting()
    calls = [call_of(priority) for priority in (*reversed(Priority), *reversed(Priority))]
    for call in calls:
        line.append(call)
    low1, normal1, urgent1, low2, normal2, urgent2 = calls
    assert list(line) == [urgent1, urgent2, normal1, normal2, low1, low2]
    assert line.first() is urgent1
    assert len(line) == 6


def test_one_that_was_not_sent_has_its_turn_first() -> None:
    """PU-62: what comes back goes before the others of its priority, not before more urgent."""
    line = Waiting()
    urgent, normal, back = (call_of(p) for p in (Priority.URGENT, Priority.NORMAL, Priority.NORMAL))
    line.append(normal)
    line.append(urgent)
    line.put_back(back)
    assert list(line) == [urgent, back, normal]


def test_who_leaves_is_forgotten() -> None:
    """PU-66: one that has waited long enough leaves nothing behind."""
    line = Waiting()
    first, second = call_of(Priority.LOW), call_of(Priority.LOW)
    line.append(first)
    line.append(second)
    line.discard(first)
    line.discard(first)
    assert list(line) == [second]
    line.discard(second)
    assert line.first() is None
    assert not line


def test_a_call_does_not_show_what_it_carries() -> None:
    """SE-7: its headers have our token and the device's, wherever it may be shown."""
    shown = repr(Call(b"bearer secret", b"private", Priority.NORMAL, 0.0, None))
    assert "secret" not in shown
    assert "private" not in shown
