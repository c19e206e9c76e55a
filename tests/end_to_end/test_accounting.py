"""tests.end_to_end.accounting: the books of the tests that kill find out what they are for."""

import orjson
import pytest
from tests.end_to_end.accounting import Ledger
from tests.end_to_end.clients import ROOT


@pytest.fixture
def ledger() -> Ledger:
    """Alice has a mailbox, and one that gets nothing twice."""
    ledger = Ledger()
    ledger.open_mailbox("plain", "alice")
    ledger.open_mailbox("exact", "alice", exact=True)
    return ledger


def frame(name: str, id_: str | None = None) -> bytes:
    """A notification with a name as its text."""
    return orjson.dumps({ROOT: {"id": id_ or name, "chatMessage": {"text": name}}})


def promise(ledger: Ledger, *names: str, channels: int = 2) -> None:
    """These were accepted."""
    for name in names:
        ledger.promise(name, {"id": name, "channels": channels, "status": "accepted"})


def test_what_is_promised_and_has_not_come_is_missing(ledger: Ledger) -> None:
    """SE-12: each mailbox that lacks a promised item is named; what was never answered is owed to
    nobody, and may come."""
    first, second = ledger.send("k", user="alice"), ledger.send("k", user="alice")
    promise(ledger, first)
    ledger.arrive("plain", frame(first))
    ledger.arrive("plain", frame(second))
    assert ledger.open == 1
    assert ledger.missing() == [f"exact misses {first} (k)"]
    assert ledger.mistakes() == []


def test_it_may_come_before_its_promise_and_be_promised_twice(ledger: Ledger) -> None:
    """CH-115: an answer that is given again is no second debt."""
    name = ledger.send("k", user="alice")
    ledger.arrive("plain", frame(name))
    promise(ledger, name, name)
    ledger.arrive("exact", frame(name))
    assert (ledger.open, ledger.missing(), ledger.mistakes()) == (0, [], [])


def test_duplicates_are_counted_and_mistakes_where_nothing_may_come_twice(ledger: Ledger) -> None:
    """CH-67: the same item again is fine in one mailbox and a mistake in the other."""
    name = ledger.send("k", user="alice")
    for _ in range(2):
        ledger.arrive("plain", frame(name))
    assert (ledger.duplicates, ledger.mistakes()) == (1, [])
    for _ in range(2):
        ledger.arrive("exact", frame(name))
    assert ledger.mistakes() == [f"exact got {name} twice"]


def test_the_order_of_a_key_and_a_repeat_that_changes_nothing(ledger: Ledger) -> None:
    """delivery.md (order): within a key the first arrivals count, across keys nothing does."""
    names = [ledger.send(key, user="alice") for key in "aab"]
    for name in (names[2], names[1], names[1], names[0]):
        ledger.arrive("plain", frame(name))
    assert ledger.mistakes() == [f"plain got {names[0]} after {names[1]} (a)"]


@pytest.mark.parametrize("id_", ["one", "another"])
def test_an_item_that_is_stored_twice_under_two_ids_is_found_out(ledger: Ledger, id_: str) -> None:
    """CH-114: an item has one id for everybody, the one its producer was told."""
    name = ledger.send("k", user="alice", is_named=False)
    ledger.promise_id(name, "one")
    ledger.arrive("plain", frame(name, "one"))
    ledger.arrive("exact", frame(name, id_))
    assert bool(ledger.mistakes()) == (id_ == "another")


def test_what_was_refused_must_not_come(ledger: Ledger) -> None:
    """CH-117: 503 stores nothing; but what is sent again may be accepted then."""
    name, other = ledger.send("k", user="alice"), ledger.send("k", user="alice")
    ledger.refuse([name, other])
    ledger.retry([other])
    for one in (name, other):
        ledger.arrive("plain", frame(one))
    assert ledger.mistakes() == [f"{name} was refused, and came"]


def test_answers_and_addressees_are_checked(ledger: Ledger) -> None:
    """CH-110: a wrong number of channels, a duplicate that was sent once, a stranger's item."""
    ledger.open_mailbox("bob's", "bob")
    name = ledger.send("k", user="alice")
    promise(ledger, name, channels=1)
    again = {"id": name, "channels": 2, "status": "accepted", "duplicate": True}
    ledger.promise(name, again)
    ledger.promise(name, again, is_again=True)
    ledger.arrive("bob's", frame(name))
    ledger.arrive("plain", frame("nobody's"))
    assert len(ledger.mistakes()) == 4
