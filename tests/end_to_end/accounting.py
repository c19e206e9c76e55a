"""The books of a delivery test: what was sent, what was promised, what arrived where.

Producers note each item before its request leaves (`send`) and each 2xx (`promise`); clients note
what arrives (`arrive`). At the end `missing` and `mistakes` judge the promises of delivery.md: at
least once, in order within an order key, duplicates only under the same id.

Every text of an item is its name, so that an item that is stored twice under two ids is found
out. A mailbox is what one client reads: a channel, or the row of channels of a page that is
reloaded. An order key belongs to one producer that has one request under way, so the order of
`send` is the order of acceptance. Items whose request was cut off are in the books but not
promised: they may arrive or not, and if they do, in their place.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise

import attrs
from tests.end_to_end.clients import id_of, text_of


@attrs.frozen
class Mailbox:
    """What one client reads. `exact`: it says what it has, and must get nothing twice. `moving`:
    its channels change, so that old items may come after newer ones."""

    name: str
    exact: bool = False
    moving: bool = False


@attrs.frozen
class Entry:
    """One item for some mailboxes; `place` grows with each one sent."""

    name: str
    mailboxes: Collection[str]
    order_key: str
    place: int
    is_named: bool
    is_counted: bool


@attrs.define
class Ledger:
    """The books for mailboxes that are known before the first item is sent."""

    _audience: defaultdict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    _mailboxes: dict[str, Mailbox] = attrs.field(factory=dict)
    _uncounted: set[str] = attrs.field(factory=set)
    _entries: dict[str, Entry] = attrs.field(factory=dict)
    _promised: dict[str, str] = attrs.field(factory=dict)
    _refused: set[str] = attrs.field(factory=set)
    _arrivals: defaultdict[str, dict[str, int]] = attrs.field(factory=lambda: defaultdict(dict))
    _texts: dict[str, str] = attrs.field(factory=dict)
    _mistakes: list[str] = attrs.field(factory=list)
    _open: int = 0
    _refusals: int = 0

    # -- writing it down -----------------------------------------------------------------------

    def open_mailbox(self, name: str, user: str = "", **how: bool) -> None:
        """Whatever is published to the user must reach this mailbox; without one, what is sent
        straight to it. `how` as in `Mailbox`."""
        self._mailboxes[name] = Mailbox(name, **how)
        if user:
            self._audience[user].append(name)
            if self._mailboxes[name].moving:
                self._uncounted.add(user)

    def ignore(self, user: str) -> None:
        """The user's channels come and go, and nobody reads them."""
        self._uncounted.add(user)

    def send(
        self, order_key: str, *, user: str = "", mailbox: str = "", is_named: bool = True
    ) -> str:
        """A new item, noted as sent: its name, which is its text and, if `is_named`, its id."""
        place = len(self._entries)
        mailboxes = [mailbox] if mailbox else list(self._audience[user])
        counted = user not in self._uncounted
        entry = Entry(f"n{place}", mailboxes, order_key, place, is_named, counted)
        self._entries[entry.name] = entry
        return entry.name

    def promise(self, name: str, answer: dict[str, object], *, is_again: bool = False) -> None:
        """One item's answer in a 202 to a publisher; `is_again`: it was sent before."""
        entry = self._entries[name]
        known = {"id": answer.get("id"), "channels": len(entry.mailboxes), "status": "accepted"}
        told = {key: value for key, value in answer.items() if key != "duplicate"}
        if (entry.is_counted and told != known) or (len(told) < len(answer) and not is_again):
            self.mistake(f"{name} was answered {answer}")
        self.promise_id(name, str(answer["id"]))

    def promise_id(self, name: str, id_: str) -> None:
        """An item was answered 2xx, with this id."""
        entry = self._entries[name]
        if entry.is_named and id_ != name:
            self.mistake(f"{name} was answered with the id {id_}")
        if name not in self._promised:
            self._open += sum(name not in self._arrivals[mailbox] for mailbox in entry.mailboxes)
        if self._promised.setdefault(name, id_) != id_:
            self.mistake(f"{name} was promised as {self._promised[name]} and as {id_}")

    def refuse(self, names: Collection[str]) -> None:
        """These were answered 503: nothing of them is stored, unless they are sent again."""
        self._refused.update(names)
        self._refusals += len(names)

    def retry(self, names: Collection[str]) -> None:
        """These are sent again."""
        self._refused.difference_update(names)

    def mistake(self, what: str) -> None:
        """Something happened that must not."""
        self._mistakes.append(what)

    def arrive(self, mailbox: str, frame: str | bytes) -> None:
        """A notification has been received; for a webhook, answered 2xx."""
        text = frame if isinstance(frame, str) else frame.decode()
        name = text_of(text)
        if name not in self._entries:
            self.mistake(f"{mailbox} got what nobody sent: {text}")
            return
        if self._texts.setdefault(name, text) != text:
            self.mistake(f"{mailbox} got {name} as {text} and as {self._texts[name]}")
        arrivals = self._arrivals[mailbox]
        if name not in arrivals and name in self._promised:
            self._open -= 1
        arrivals[name] = arrivals.get(name, 0) + 1
        if arrivals[name] > 1 and self._mailboxes[mailbox].exact:
            self.mistake(f"{mailbox} got {name} twice")

    # -- judging -------------------------------------------------------------------------------

    @property
    def promised(self) -> int:
        """How many items were answered 2xx."""
        return len(self._promised)

    @property
    def refused(self) -> int:
        """How many items were answered 503, when they were first sent."""
        return self._refusals

    @property
    def open(self) -> int:
        """How many promised deliveries have not arrived yet."""
        return self._open

    @property
    def duplicates(self) -> int:
        """How many arrivals were not the first of their item in their mailbox."""
        return sum(sum(names.values()) - len(names) for names in self._arrivals.values())

    def missing(self) -> list[str]:
        """Promised deliveries that have not arrived."""
        return [
            f"{mailbox} misses {name} ({self._entries[name].order_key})"
            for name in self._promised
            for mailbox in self._entries[name].mailboxes
            if name not in self._arrivals[mailbox]
        ]

    def mistakes(self) -> list[str]:
        """Whatever must not have happened: strangers, changed texts, wrong users, wrong order."""
        wrong_ids = [
            f"{name} was promised as {id_} and came as {self._texts[name]}"
            for name, id_ in self._promised.items()
            if name in self._texts and id_of(self._texts[name]) != id_
        ]
        refused = [f"{name} was refused, and came" for name in self._refused & set(self._texts)]
        misplaced = [
            mistake
            for mailbox, names in self._arrivals.items()
            for mistake in self._misplaced(mailbox, [self._entries[name] for name in names])
        ]
        return self._mistakes + wrong_ids + refused + misplaced

    def _misplaced(self, mailbox: str, firsts: Sequence[Entry]) -> list[str]:
        """What a mailbox got of others, and what overtook its order key; first arrivals only."""
        strangers = [one for one in firsts if mailbox not in one.mailboxes]
        by_key: defaultdict[str, list[Entry]] = defaultdict(list)
        if not self._mailboxes[mailbox].moving:
            for entry in firsts:
                by_key[entry.order_key].append(entry)
        return [f"{mailbox} got {one.name}, which is not for it" for one in strangers] + [
            f"{mailbox} got {later.name} after {earlier.name} ({key})"
            for key, entries in by_key.items()
            for earlier, later in pairwise(entries)
            if later.place < earlier.place
        ]
