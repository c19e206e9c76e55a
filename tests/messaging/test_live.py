"""tocsin.messaging.live: connections by subscriber, and of which devices they are."""

from tests.fakes.messaging_links import MemoryLink, person

from tocsin.messaging.live import Live
from tocsin.model.conversation import Subscriber


class Bench:
    """A Live, and which devices it said have left."""

    def __init__(self, *, most: int = 10, for_all: bool = False) -> None:
        self.live = Live(most=most, uncorrelated_counts_for_all=for_all)
        self.left: list[tuple[str, str | None]] = []
        self.live.on_device_left = lambda user, correlator: self.left.append((user, correlator))

    def come(self, one: Subscriber, correlator: str | None = None) -> MemoryLink:
        """A connection that replaces none."""
        link = MemoryLink(one, correlator)
        assert self.live.attach(link) is None
        return link


def test_links_are_found_in_order_of_coming() -> None:
    """By subscriber, all of them, and counted; the last to go is told apart (MS-9, MS-50)."""
    bench = Bench()
    one, other = person(1), person(2)
    first, second = bench.come(one), bench.come(one)
    third = bench.come(other)
    assert bench.live.of(1) == (first, second)
    assert bench.live.of(2) == (third,)
    assert (len(bench.live), bench.live.is_live(2), bench.live.is_live(3)) == (3, True, False)
    assert not bench.live.detach(first)
    assert bench.live.detach(second)
    assert not bench.live.is_live(1)
    assert bench.live.of(1) == ()
    assert len(bench.live) == 1


def test_who_walks_over_links_may_end_them() -> None:
    """What `of` gave stays as it was when they go (MS-9)."""
    bench = Bench()
    links = [bench.come(person(1)) for _ in range(3)]
    for link in bench.live.of(1):
        bench.live.detach(link)
    assert not bench.live.is_live(1)
    assert len(links) == 3


def test_one_too_many_replaces_the_oldest() -> None:
    """An eleventh connection has the oldest handed out to be ended, each only once, and that is
    live no more: its end is not that of the subscriber (section 12, connections)."""
    live = Live(most=2, uncorrelated_counts_for_all=False)
    links = [MemoryLink(person(1)) for _ in range(4)]
    assert [live.attach(link) for link in links] == [None, None, links[0], links[1]]
    assert live.of(1) == (links[2], links[3])
    assert len(live) == 2
    assert not live.detach(links[0])
    assert not live.detach(links[2])
    assert live.detach(links[3])
    assert not live.detach(links[1])
    assert len(live) == 0


def test_others_have_a_limit_of_their_own() -> None:
    """Connections are counted for each subscriber (section 12, connections)."""
    live = Live(most=1, uncorrelated_counts_for_all=False)
    assert live.attach(MemoryLink(person(1))) is None
    assert live.attach(MemoryLink(person(2))) is None


def test_a_connection_is_a_socket_of_the_device_it_names() -> None:
    """Only of that one, and only of that user (MS-50)."""
    bench = Bench()
    bench.come(person(1), "phone")
    assert bench.live.has_device("s1@acme", "phone")
    assert not bench.live.has_device("s1@acme", "tablet")
    assert not bench.live.has_device("s2@acme", "phone")


def test_devices_are_those_of_users_of_the_core() -> None:
    """Two subscribers who are the same user share its devices (MS-3, MS-50)."""
    bench = Bench()
    mine = bench.come(person(1, user="alice"), "phone")
    yours = bench.come(person(2, user="alice"), "phone")
    bench.live.detach(mine)
    assert bench.live.has_device("alice", "phone")
    bench.live.detach(yours)
    assert bench.left == [("alice", "phone")]


def test_a_device_leaves_with_its_last_connection() -> None:
    """Told once, when nothing is live any more, so that its push is due (MS-50)."""
    bench = Bench()
    first, second = bench.come(person(1), "phone"), bench.come(person(1), "phone")
    bench.live.detach(first)
    assert bench.left == []
    bench.live.detach(second)
    bench.live.detach(second)
    assert bench.left == [("s1@acme", "phone")]
    assert not bench.live.has_device("s1@acme", "phone")


def test_a_device_that_replaces_itself_has_not_left() -> None:
    """The newer connection is live before the oldest is not (MS-50; section 12)."""
    bench = Bench(most=1)
    old = bench.come(person(1), "phone")
    assert bench.live.attach(MemoryLink(person(1), "phone")) is old
    assert bench.left == []
    assert bench.live.attach(MemoryLink(person(1), "tablet")) is not None
    assert bench.left == [("s1@acme", "phone")]


def test_a_connection_that_names_no_device_silences_no_push() -> None:
    """It is a device of its own, and nothing waits for it (MS-51)."""
    bench = Bench()
    link = bench.come(person(1))
    assert not bench.live.has_device("s1@acme", "phone")
    bench.live.detach(link)
    assert bench.left == []


def test_it_may_count_for_every_device() -> None:
    """With `uncorrelated = "all"`: a device has left when neither its own nor such a connection is
    there, and the end of the last such one is told as that of any (MS-51)."""
    bench = Bench(for_all=True)
    named = bench.come(person(1), "phone")
    nameless, another = bench.come(person(1)), bench.come(person(1))
    assert bench.live.has_device("s1@acme", "tablet")
    assert not bench.live.has_device("s2@acme", "tablet")
    bench.live.detach(named)
    bench.live.detach(another)
    assert bench.left == []
    assert bench.live.has_device("s1@acme", "phone")
    bench.live.detach(nameless)
    assert bench.left == [("s1@acme", None)]
    assert not bench.live.has_device("s1@acme", "phone")


def test_nothing_is_kept_of_who_has_gone() -> None:
    """Coming and going leaves nothing behind (MS-68)."""
    bench = Bench(for_all=True)
    for key in range(100):
        for correlator in (None, "phone"):
            bench.live.detach(bench.come(person(key), correlator))
    assert not bench.live._links
    assert not bench.live._devices
