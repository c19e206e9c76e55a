"""What has to arrive where, and what did: the demo's accounting, by id and in order."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs


@attrs.frozen
class Expected:
    """One event at one receiver; `at` is when it was handed in. In one `key` order counts."""

    receiver: str
    id: str
    key: str
    service: str
    text: str
    at: float


@attrs.frozen
class Arrival:
    """One event as a receiver got it; `number` counts how often it has come there, from 1. `text`
    is there where the receiver says what it is."""

    receiver: str
    id: str
    at: float
    number: int
    text: str = ""


@attrs.frozen
class Balance:
    """What became of one receiver's events; lists of ids. Everybody may see an event twice, with
    the same id (delivery.md): that is counted, and no mistake."""

    receiver: str
    expected: int
    arrived: int
    repeated: int
    missing: list[str]
    unexpected: list[str]
    out_of_order: list[str]

    @property
    def is_even(self) -> bool:
        """Exactly what was expected has come, in its order."""
        return not (self.missing or self.unexpected or self.out_of_order)


@attrs.define(eq=False)
class Ledger:
    """Both sides of the account. What arrives before it is expected waits to be matched: a message
    may be there before its sender knows its id.

    Holds what one demo publishes, a few dozen events. `on_arrival` is called for each arrival,
    `on_change` after that and for everything that is expected.
    """

    on_arrival: Callable[[Arrival], None] = lambda _arrival: None
    on_change: Callable[[], None] = lambda: None
    _expected: dict[tuple[str, str], Expected] = attrs.field(factory=dict)
    _arrivals: dict[tuple[str, str], list[Arrival]] = attrs.field(factory=dict)

    def expect(self, expected: Expected) -> None:
        """This has to come."""
        self._expected[expected.receiver, expected.id] = expected
        self.on_change()

    def arrived(self, receiver: str, id_: str, at: float, text: str = "") -> None:
        """This has come."""
        before = self._arrivals.setdefault((receiver, id_), [])
        before.append(Arrival(receiver, id_, at, len(before) + 1, text))
        self.on_arrival(before[-1])
        self.on_change()

    def find(self, receiver: str, id_: str) -> Expected | None:
        """What is known of an event, None while nobody has said that it has to come."""
        return self._expected.get((receiver, id_))

    def name(self, id_: str) -> str:
        """An event in a few words; its id where nobody knows more."""
        texts = (one.text for (_, known), one in self._expected.items() if known == id_)
        return next(texts, id_)

    def is_complete(self, *receivers: str) -> bool:
        """Whether nothing is missing; only at these receivers, if any are named."""
        return not any(
            key not in self._arrivals
            for key in self._expected
            if not receivers or key[0] in receivers
        )

    def balances(self) -> list[Balance]:
        """One for each receiver, in the order they were first heard of."""
        return [self._balance(receiver) for receiver in self._receivers()]

    def _receivers(self) -> Iterator[str]:
        return iter(dict.fromkeys(key[0] for key in (*self._expected, *self._arrivals)))

    def _balance(self, receiver: str) -> Balance:
        expected = _of(self._expected, receiver)
        arrivals = _of(self._arrivals, receiver)
        return Balance(
            receiver,
            expected=len(expected),
            arrived=len(expected.keys() & arrivals.keys()),
            repeated=sum(len(every) - 1 for every in arrivals.values()),
            missing=[id_ for id_ in expected if id_ not in arrivals],
            unexpected=[id_ for id_ in arrivals if id_ not in expected],
            out_of_order=list(_out_of_order(expected, list(arrivals))),
        )


def _of(entries: Mapping[tuple[str, str], Any], receiver: str) -> dict[str, Any]:
    return {id_: entry for (owner, id_), entry in entries.items() if owner == receiver}


def _out_of_order(expected: Mapping[str, Expected], came: list[str]) -> Iterator[str]:
    """Those that came behind one of their key that was handed in later; repeats do not count."""
    places = {id_: place for place, id_ in enumerate(expected)}
    latest: dict[str, int] = {}
    for id_ in came:
        if id_ in expected:
            key = expected[id_].key
            if places[id_] < latest.get(key, -1):
                yield id_
            latest[key] = max(latest.get(key, -1), places[id_])
