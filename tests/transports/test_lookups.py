"""Tests of lookups: who gets a thread, who shares one, and who waits."""

import socket
import threading

import pytest
import trio
from tests.fakes.names import PUBLIC, VirtualNames
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.transports import lookups as module
from tocsin.transports.lookups import Lookups, SocketAddress, system_resolve
from tocsin.transports.notconnected import NotConnectedError, OwnLimitError
from tocsin.transports.patience import UNLIMITED, Patience

FOUND = [(socket.AF_INET, (PUBLIC, 443))]
HANGS = 30.0


@pytest.fixture
def names(nursery: trio.Nursery) -> VirtualNames:
    return VirtualNames(nursery)


async def ask(lookups: Lookups, host: str) -> str:
    """What comes of a lookup within the 5 s of a connection."""
    with trio.move_on_after(5) as limit:
        try:
            await lookups.find(host, 443, Patience(limit))
        except NotConnectedError as error:
            return error.reason
        return "found"
    return "timeout"


async def ask_all(lookups: Lookups, hosts: list[str]) -> dict[str, str]:
    said: dict[str, str] = {}

    async def note(host: str) -> None:
        said[host] = await ask(lookups, host)

    async with trio.open_nursery() as nursery:
        for host in hosts:
            nursery.start_soon(note, host)
    return said


async def silence(names: VirtualNames, lookups: Lookups, hosts: list[str]) -> None:
    """Hosts that were prompt fall silent, and are asked for."""
    for host in hosts:
        assert await ask(lookups, host) == "found"
        names.takes[host] = HANGS


def made(count: int, prefix: str = "h") -> list[str]:
    return [f"{prefix}{number}.example" for number in range(count)]


async def test_eighty_hosts_that_fall_silent_hurt_nobody(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Isolation: while 80 lookups hang, a known name and a new one are found at once."""
    lookups = names.lookups()
    await ask(lookups, "good.example")
    await silence(names, lookups, made(80))
    nursery.start_soon(ask_all, lookups, made(80))
    await trio.sleep(0.5)
    since = trio.current_time()
    assert set((await ask_all(lookups, ["good.example", "new.example"])).values()) == {"found"}
    assert trio.current_time() - since < 0.1
    assert names.busy.total() == 80


async def test_silent_hosts_have_a_quarter_of_the_threads(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Isolation: once known they take no more than that; who finds no thread is told it is us."""
    lookups = names.lookups(threads=64)
    silent = made(60)
    await silence(names, lookups, silent)
    await ask_all(lookups, silent)
    await trio.sleep(HANGS)
    assert names.busy.total() == 0
    said = await ask_all(lookups, silent)
    assert names.busy.total() == 16
    assert sorted(said.values()) == ["lookups"] * 44 + ["timeout"] * 16
    assert await ask(lookups, "good.example") == "found"


async def test_names_nobody_knows_have_half_of_them(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Isolation: however many new names hang, those that have answered find a thread."""
    lookups = names.lookups(threads=64)
    await ask(lookups, "good.example")
    names.takes = dict.fromkeys(made(200), HANGS)
    nursery.start_soon(ask_all, lookups, made(200))
    await trio.sleep(0.5)
    assert names.busy.total() == 32
    since = trio.current_time()
    assert await ask(lookups, "good.example") == "found"
    assert trio.current_time() - since < 0.1
    assert await ask(lookups, "new.example") == "lookups"


async def test_threads_are_bounded_and_kept_until_they_return(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Whoever still waits; then those in line have them, the prompt ones first."""
    lookups = names.lookups(threads=4)
    await silence(names, lookups, [*made(4), *made(1, "other")])
    await ask_all(lookups, made(4))
    names.asked.clear()
    await trio.sleep(HANGS - 13)
    assert await ask(lookups, "other0.example") == "lookups"
    assert not names.asked
    async with trio.open_nursery() as asking:
        asking.start_soon(ask, lookups, "new.example")
        await wait_all_tasks_blocked()
        asking.start_soon(ask, lookups, "other0.example")
    assert names.asked == ["other0.example", "new.example"]


async def test_who_answers_again_is_prompt_again(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A host is judged by its last lookup."""
    lookups = names.lookups(threads=4)
    names.takes = {"slow.example": 1.5, "hangs.example": 1.5}
    assert set((await ask_all(lookups, ["slow.example", "hangs.example"])).values()) == {"found"}
    names.takes = {"slow.example": 0.5, "hangs.example": HANGS}
    nursery.start_soon(ask, lookups, "hangs.example")
    await trio.sleep(1)
    assert await ask(lookups, "slow.example") == "lookups"
    await trio.sleep(HANGS)
    assert await ask(lookups, "slow.example") == "found"
    nursery.start_soon(ask, lookups, "hangs.example")
    await trio.sleep(1)
    assert await ask(lookups, "slow.example") == "found"


async def test_what_waits_for_us_does_not_run_out_of_time(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """4 s in line and 4 s of lookup are within the 5 s a connection may take."""
    lookups = names.lookups(threads=1)
    names.takes = {"a.example": 4.0, "b.example": 4.0}
    nursery.start_soon(ask, lookups, "a.example")
    await wait_all_tasks_blocked()
    assert await ask(lookups, "b.example") == "found"
    assert trio.current_time() == pytest.approx(8)
    assert names.asked == ["a.example", "b.example"]


async def test_a_cancelled_waiter_leaves_nothing(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What nobody waits for any more is not looked up; what others wait for is."""
    lookups = names.lookups(threads=1)
    names.takes["a.example"] = 4.0
    nursery.start_soon(ask, lookups, "a.example")
    await wait_all_tasks_blocked()
    with trio.move_on_after(1):
        async with trio.open_nursery() as leaving:
            leaving.start_soon(ask, lookups, "b.example")
            leaving.start_soon(ask, lookups, "c.example")
            nursery.start_soon(ask, lookups, "c.example")
    await trio.sleep(5)
    assert names.asked == ["a.example", "c.example"]
    assert not names.busy.total()


async def test_without_a_thread_nobody_is_blamed(
    names: VirtualNames, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The system may refuse one, and give one the next time."""
    lookups = names.lookups(threads=1)
    names.has_threads = False
    for _ in range(2):
        with pytest.raises(OwnLimitError):
            await lookups.find("a.example", 443, UNLIMITED)
    names.has_threads = True
    assert await lookups.find("a.example", 443, UNLIMITED) == FOUND


async def test_what_is_remembered_is_bounded(
    names: VirtualNames, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """The host seen longest ago is new again."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    lookups = names.lookups(threads=4)
    slow = made(3)
    names.takes = dict.fromkeys(slow, 2.0)
    for host in slow:
        await ask(lookups, host)
    names.takes = dict.fromkeys(slow, HANGS)
    said = await ask_all(lookups, slow)
    assert said["h0.example"] == "timeout"
    assert sorted(said.values()) == ["lookups", "timeout", "timeout"]


class HeldResolver:
    """Answers, in real threads, when it is let; counts how often it was asked."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[SocketAddress]:
        self.asked.append(host)
        self.go.wait(timeout=30)
        return [(socket.AF_INET, (PUBLIC, port))]


async def test_one_lookup_per_name_at_a_time() -> None:
    """PU-72, isolation: those who wait for one name share one thread, whatever port they want,
    the abandoned one too."""
    held = HeldResolver()
    lookups = Lookups(held)
    found: list[list[SocketAddress]] = []

    async def look_up(port: int) -> None:
        found.append(await lookups.find("a.example", port, UNLIMITED))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(look_up, 443)
            await wait_all_tasks_blocked()
            scope.cancel()
            await lookups.find("a.example", 443, UNLIMITED)
        nursery.start_soon(look_up, 80)
        await wait_all_tasks_blocked()
        held.go.set()
    assert held.asked == ["a.example"]
    assert sorted(found) == [[(socket.AF_INET, (PUBLIC, port))] for port in (80, 443)]
    await look_up(443)
    assert held.asked == ["a.example"] * 2


async def test_a_bug_of_the_resolver_is_told_to_all() -> None:
    """What is no answer of a resolver is no answer about the host either."""

    def broken(_host: str, _port: int) -> list[SocketAddress]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Lookups(broken).find("a.example", 443, UNLIMITED)


def test_the_system_resolver_knows_the_loopback() -> None:
    """PU-72: what getaddrinfo says comes as pairs that a socket can connect to."""
    assert (socket.AF_INET, ("127.0.0.1", 443)) in system_resolve("127.0.0.1", 443)
