"""Identifiers: rising, unguessable, derived (MS-27, MS-52)."""

import re
from collections.abc import Callable, Iterator
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging.ids import MessageIds, is_subscriber_id, new_room_id, notification_id

V7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
AT = 1_767_607_200_120


def ticking(times: list[int]) -> Callable[[], int]:
    """A clock that shows these times, one after the other."""
    left: Iterator[int] = iter(times)
    return lambda: next(left)


def bytes_of(value: int) -> Callable[[int], bytes]:
    """Randomness that is always the same byte."""
    return lambda count: bytes([value]) * count


def time_of(message_id: str) -> int:
    return UUID(message_id).int >> 80


@given(st.lists(st.integers(-5, 2**48 - 2), min_size=1, max_size=30), st.integers(0, 255))
def test_strictly_rising(times: list[int], byte: int) -> None:
    """Whatever the clock does, each id is a UUIDv7 in lower case and greater than the last, as
    text, too (MS-27)."""
    make = MessageIds(ticking(times), randomness=bytes_of(byte))
    made = [make() for _ in times]
    assert all(V7.fullmatch(one) for one in made)
    assert sorted(set(made)) == made


def test_tells_the_time() -> None:
    """The first 48 bits are the clock's milliseconds, as RFC 9562 has them."""
    made = MessageIds(lambda: AT)()
    assert time_of(made) == AT
    assert UUID(made).version == 7


def test_within_a_millisecond() -> None:
    """A clock that stands still or goes back leaves the time part where it was (MS-27)."""
    make = MessageIds(ticking([AT, AT, AT - 60_000, AT + 1]), randomness=bytes_of(7))
    first, second, third, fourth = (make() for _ in range(4))
    assert UUID(second).int == UUID(first).int + 1
    assert UUID(third).int == UUID(first).int + 2
    assert [time_of(one) for one in (third, fourth)] == [AT, AT + 1]


def test_random_part_used_up() -> None:
    """The time part runs ahead when a millisecond has no id left, and stays rising (MS-27)."""
    make = MessageIds(lambda: AT, randomness=bytes_of(255))
    full, next_one = make(), make()
    assert full.endswith("7fff-bfff-ffffffffffff")
    assert time_of(next_one) == AT + 1
    assert full < next_one < make()


@given(st.integers(0, 2**48 - 2), st.integers(0, 2**48 - 2))
def test_after_a_restart(earlier: int, later: int) -> None:
    """With the greatest id of an earlier life the first one of this is greater, whichever way
    the clock was put (MS-27)."""
    last = MessageIds(lambda: earlier)()
    assert MessageIds(lambda: later, after=last)() > last


def test_the_last_one() -> None:
    """MS-28: is known, from an earlier life too; asking for it makes none."""
    make = MessageIds(lambda: AT)
    assert make.last == ""
    made = make()
    assert make.last == make.last == made
    assert MessageIds(lambda: AT, after=made).last == made


def test_end_of_time() -> None:
    """Behind the greatest id there is none, and none is repeated."""
    make = MessageIds(lambda: 2**48 - 1, randomness=bytes_of(255))
    make()
    with pytest.raises(ValueError, match="no message-id"):
        make()


def test_drawn_anew() -> None:
    """Ids of different milliseconds share nothing but their form."""
    make = MessageIds(ticking([AT, AT + 1]))
    assert make()[14:] != make()[14:]


def test_room_ids() -> None:
    """`r-` and a uuid4, another each time (MS-27, SE-10)."""
    first, second = new_room_id(), new_room_id()
    assert first.startswith("r-")
    assert UUID(first.removeprefix("r-")).version == 4
    assert first != second


def test_notification_ids() -> None:
    """The UUIDv5 of the core user in the message's namespace: the same for the same, another for
    anybody else and any other message (MS-52)."""
    make = MessageIds(lambda: AT)
    message, other = make(), make()
    made = notification_id(message, "12125550199@acme")
    assert made == str(uuid5(UUID(message), "12125550199@acme"))
    assert UUID(made).version == 5
    assert made not in {
        notification_id(message, "b@acme"),
        notification_id(other, "12125550199@acme"),
    }


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("12125550199", True),
        ("Jörg von Ü", True),
        ("x" * 128, True),
        ("", False),
        ("x" * 129, False),
        ("a\n", False),
        ("\u200b", False),
        ("\x7f", False),
    ],
)
def test_subscriber_ids(text: str, can: bool) -> None:
    """1 to 128 printable characters (section 1)."""
    assert is_subscriber_id(text) is can
