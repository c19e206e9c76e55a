"""tocsin.demo.ledger: the demo's accounting (OP-2)."""

from hypothesis import given
from hypothesis import strategies as st

from tocsin.demo.ledger import Arrival, Balance, Expected, Ledger


def ledger(*ids: str, receiver: str = "webhook") -> Ledger:
    """One where these are due, each "key/rest" in its key."""
    made = Ledger()
    for id_ in ids:
        made.expect(Expected(receiver, id_, id_.partition("/")[0], "chat", f"text {id_}", 0.0))
    return made


def balance(of: Ledger) -> Balance:
    [one] = of.balances()
    return one


def test_everything_has_come() -> None:
    """What came once, in the order of its key, is even, whatever the order across keys."""
    one = ledger("a/1", "b/1", "a/2")
    for id_ in ("b/1", "a/1", "a/2"):
        assert not one.is_complete()
        one.arrived("webhook", id_, 1.0)
    assert one.is_complete()
    assert balance(one) == Balance("webhook", 3, 3, 0, [], [], [])
    assert balance(one).is_even


def test_what_is_wrong_is_named() -> None:
    """What is missing, what nobody expected and what was overtaken are told by id."""
    one = ledger("a/1", "a/2", "a/3")
    for id_ in ("a/2", "a/1", "c/1"):
        one.arrived("webhook", id_, 1.0)
    found = balance(one)
    assert (found.missing, found.unexpected, found.out_of_order) == (["a/3"], ["c/1"], ["a/1"])
    assert not found.is_even


def test_a_repeat_is_counted_and_no_mistake() -> None:
    """The same id again is what delivery.md allows; it counts for no order."""
    one = ledger("a/1", "a/2")
    for id_ in ("a/1", "a/2", "a/1"):
        one.arrived("webhook", id_, 1.0)
    assert balance(one) == Balance("webhook", 2, 2, 1, [], [], [])


def test_it_may_arrive_before_it_is_expected() -> None:
    """A message is matched with what its sender learns later; nothing is complete without it."""
    seen: list[Arrival] = []
    changes: list[bool] = []
    one = ledger()
    one.on_arrival = seen.append
    one.on_change = lambda: changes.append(one.is_complete())
    one.arrived("ben", "m1", 2.0, "hi")
    assert (one.find("ben", "m1"), one.name("m1")) == (None, "m1")
    one.expect(Expected("ben", "m1", "ann", "message", "hi", 1.0))
    assert one.name("m1") == "hi"
    assert balance(one).is_even
    assert seen == [Arrival("ben", "m1", 2.0, 1, "hi")]
    assert changes == [True, True]


def test_each_receiver_has_an_account_of_its_own() -> None:
    """What came to one is still missing at the other."""
    one = ledger("a/1")
    one.expect(Expected("phone", "a/1", "a", "chat", "text", 0.0))
    one.arrived("webhook", "a/1", 1.0)
    assert (one.is_complete("webhook"), one.is_complete("phone"), one.is_complete()) == (
        True,
        False,
        False,
    )
    assert [(b.receiver, b.is_even) for b in one.balances()] == [
        ("webhook", True),
        ("phone", False),
    ]


@given(st.permutations(["a/1", "a/2", "a/3", "b/1", "b/2"]))
def test_order_is_judged_within_keys(came: list[str]) -> None:
    """Something is out of order exactly if one key's events did not come as they were handed in."""
    due = ["a/1", "b/1", "a/2", "a/3", "b/2"]
    one = ledger(*due)
    for id_ in came:
        one.arrived("webhook", id_, 1.0)
    in_order = all(
        [id_ for id_ in came if id_[0] == key] == [id_ for id_ in due if id_[0] == key]
        for key in "ab"
    )
    assert balance(one).is_even is in_order
