"""tocsin.messaging.presence: what is announced, who sees it, and who is told at once."""

import pytest
from tests.fakes.messaging_links import person, room_of
from tests.fakes.presence_bench import Bench

from tocsin.wire.messaging.views import SubscriberView
from tocsin.wire.messaging.words import Availability

AVAILABLE, BUSY = Availability.AVAILABLE, Availability.BUSY
DND, INVISIBLE = Availability.DND, Availability.INVISIBLE


@pytest.fixture
def bench() -> Bench:
    """Three people in one Room, each with a connection."""
    return Bench()


def test_a_change_goes_to_each_connection_of_every_co_member(bench: Bench) -> None:
    """In the words of the wire, without `channel-id`, and not to one's own (MS-41)."""
    mine, yours = bench.come(bench.people[0]), bench.come(bench.people[1])
    bench.announce(bench.links[0], AVAILABLE, status="here", attributes=b'{"a":1}')
    told = {
        "type": "subscriber",
        "change": "availability",
        "subscriber": {
            "id": "s1",
            "status": "here",
            "availability": "available",
            "administrator": False,
            "attributes": {"a": 1},
        },
    }
    assert [link.changes for link in (*bench.links, yours)] == [[], [told], [told], [told]]
    assert mine.changes == []


def test_once_however_many_rooms_are_shared(bench: Bench) -> None:
    """Those of other Rooms hear of it, too; strangers do not (MS-41)."""
    stranger, friend = person(8), person(9)
    links = [bench.come(stranger), bench.come(friend)]
    room_of(2, bench.people[:2])
    room_of(3, [bench.people[0], friend])
    bench.announce(bench.links[0], AVAILABLE)
    assert [len(link.changes) for link in (*bench.links, *links)] == [0, 1, 1, 0, 1]


def test_large_rooms_are_told_nothing() -> None:
    """A Room above the limit is left out; a smaller one with the same people is not (MS-41)."""
    bench = Bench(4, room_limit=3)
    bench.announce(bench.links[0], AVAILABLE)
    assert [link.changes for link in bench.links] == [[]] * 4
    room_of(2, bench.people[:3])
    bench.announce(bench.links[0], BUSY)
    assert [bench.heard(link) for link in bench.links] == [
        [],
        [("availability", "busy", "")],
        [("availability", "busy", "")],
        [],
    ]


def test_what_is_not_said_stays(bench: Bench) -> None:
    """On the same connection; attributes are replaced whole; what is told says what kind of change
    it is, and a repeat is none (MS-37)."""
    one = bench.links[0]
    bench.announce(one, AVAILABLE, status="a", attributes=b'{"x":1,"y":2}')
    bench.announce(one, status="b")
    bench.announce(one, BUSY)
    bench.announce(one, attributes=b'{"x":1}')
    bench.announce(one, BUSY, status="b")
    assert bench.presence.view(bench.people[0]) == SubscriberView(
        "s1", "b", BUSY, attributes=b'{"x":1}'
    )
    assert bench.heard(bench.links[1]) == [
        ("availability", "available", "a"),
        ("updated", "available", "b"),
        ("availability", "busy", "b"),
        ("updated", "busy", "b"),
    ]


def test_an_announce_alone_makes_nobody_visible(bench: Bench) -> None:
    """Without availability it stays invisible, and nothing is told; oneself one sees as announced
    (MS-37, MS-40)."""
    bench.announce(bench.links[0], status="hidden", attributes=b'{"a":1}')
    assert bench.heard(bench.links[1]) == []
    one = bench.people[0]
    assert bench.presence.own_view(one) == SubscriberView(
        "s1", "hidden", INVISIBLE, attributes=b'{"a":1}'
    )
    assert bench.presence.view(one) == SubscriberView("s1")


def test_who_turns_invisible_shows_nothing_else(bench: Bench) -> None:
    """Status and attributes go with it, and what changes while invisible is told to nobody
    (MS-40)."""
    one = bench.links[0]
    bench.announce(one, AVAILABLE, status="a", attributes=b'{"a":1}')
    bench.announce(one, INVISIBLE)
    bench.announce(one, status="secret")
    assert [change["subscriber"]["attributes"] for change in bench.links[1].changes] == [
        {"a": 1},
        {},
    ]
    assert bench.heard(bench.links[1]) == [
        ("availability", "available", "a"),
        ("availability", "invisible", ""),
    ]


def test_invisible_and_not_connected_look_the_same(bench: Bench) -> None:
    """A stranger, one who never announced and one who is invisible (MS-40)."""
    bench.announce(bench.links[0], INVISIBLE, status="x")
    views = [bench.presence.view(one) for one in (*bench.people, person(99))]
    assert [attrs_without_id(view) for view in views] == [attrs_without_id(views[0])] * 4


def attrs_without_id(view: SubscriberView) -> tuple[object, ...]:
    """What can be seen of somebody but who he is."""
    return view.status, view.availability, view.administrator, view.attributes


def test_administrators_are_shown_as_such(bench: Bench) -> None:
    """In a Room, whatever is seen else (MS-31)."""
    assert bench.presence.view(bench.people[0], administrator=True).administrator
    assert bench.presence.own_view(bench.people[0], administrator=True).administrator


def test_the_latest_announce_holds(bench: Bench) -> None:
    """Of the live connections; a repeat on an older one makes that the latest (MS-38)."""
    first, second = bench.links[0], bench.come(bench.people[0])
    bench.announce(first, AVAILABLE, status="phone")
    bench.announce(second, BUSY, status="desk")
    bench.announce(first)
    bench.announce(second, status="desk again")
    assert bench.heard(bench.links[1]) == [
        ("availability", "available", "phone"),
        ("availability", "busy", "desk"),
        ("availability", "available", "phone"),
        ("availability", "busy", "desk again"),
    ]


def test_each_connection_announces_for_itself(bench: Bench) -> None:
    """What another connection has said is not what a new one leaves unsaid (MS-37, MS-38)."""
    bench.announce(bench.links[0], AVAILABLE, status="phone")
    bench.announce(bench.come(bench.people[0]), status="desk")
    assert bench.presence.own_view(bench.people[0]) == SubscriberView("s1", "desk", INVISIBLE)


def test_unannounce_is_told_at_once(bench: Bench) -> None:
    """And what had been announced is forgotten: the next announce begins anew (MS-39)."""
    one = bench.links[0]
    bench.announce(one, AVAILABLE, status="a")
    bench.presence.unannounce(one)
    bench.presence.unannounce(one)
    assert len(bench.presence) == 0
    bench.announce(one, AVAILABLE)
    assert bench.heard(bench.links[1]) == [
        ("availability", "available", "a"),
        ("availability", "invisible", ""),
        ("availability", "available", ""),
    ]


def test_who_never_announced_has_nothing_to_take_back(bench: Bench) -> None:
    """It is fine, and tells nobody anything (MS-37)."""
    bench.presence.unannounce(bench.links[0])
    assert bench.heard(bench.links[1]) == []


def test_a_connection_that_has_ended_announces_nothing(bench: Bench) -> None:
    """What it had sent before may be handled after its end; nobody would take it back (MS-38)."""
    bench.go(bench.links[0])
    bench.announce(bench.links[0], AVAILABLE)
    assert len(bench.presence) == 0
    assert bench.heard(bench.links[1]) == []


def test_do_not_disturb_is_the_persons_word(bench: Bench) -> None:
    """Whichever device said it last (MS-45)."""
    key, second = bench.people[0].key, bench.come(bench.people[0])
    heard = []
    for link, availability in [(bench.links[0], DND), (second, BUSY), (bench.links[0], None)]:
        bench.announce(link, availability)
        heard.append(bench.presence.is_silenced(key))
    assert heard == [True, False, True]
    assert not bench.presence.is_silenced(bench.people[1].key)
