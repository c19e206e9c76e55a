"""Tests of the guard before every connection to an address a user chose."""

import socket
import threading
from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

from tocsin.transports.guard import (
    AddressGuard,
    BlockedAddressError,
    CannotResolveError,
    SocketAddress,
    system_resolve,
)
from tocsin.transports.settings import WebhookSettings

PUBLIC, PRIVATE, MAPPED = "1.1.1.1", "10.0.0.1", "::ffff:127.0.0.1"


def resolver(*addresses: str) -> Callable[[str, int], Sequence[SocketAddress]]:
    def resolve(_host: str, port: int) -> list[SocketAddress]:
        return [
            (socket.AF_INET6, (ip, port, 0, 0)) if ":" in ip else (socket.AF_INET, (ip, port))
            for ip in addresses
        ]

    return resolve


def failing(error: Exception) -> Callable[[str, int], Sequence[SocketAddress]]:
    def resolve(_host: str, _port: int) -> list[SocketAddress]:
        raise error

    return resolve


async def test_a_name_becomes_its_checked_addresses() -> None:
    """PU-72: all addresses in the resolver's order, each once."""
    guard = AddressGuard(WebhookSettings(), resolve=resolver(PUBLIC, "2606:4700::1", PUBLIC))
    assert await guard.addresses("a.example", 443) == [
        (socket.AF_INET, (PUBLIC, 443)),
        (socket.AF_INET6, ("2606:4700::1", 443, 0, 0)),
    ]


@pytest.mark.parametrize(
    "addresses", [[PRIVATE], [PUBLIC, PRIVATE], [PRIVATE, PUBLIC], [PUBLIC, MAPPED]]
)
async def test_one_forbidden_address_spoils_the_name(addresses: list[str]) -> None:
    """CH-81, PU-72, SE-4: every address is judged, not the first."""
    guard = AddressGuard(WebhookSettings(), resolve=resolver(*addresses))
    with pytest.raises(BlockedAddressError):
        await guard.addresses("a.example", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:7f00:1"])
async def test_literal_addresses_are_judged_without_the_resolver(host: str) -> None:
    """SE-4: a private IP in the URL is refused; nobody is asked what it resolves to."""
    guard = AddressGuard(WebhookSettings(), resolve=resolver(PUBLIC))
    with pytest.raises(BlockedAddressError):
        await guard.addresses(host, 443)


async def test_the_operator_makes_exceptions() -> None:
    """PU-73: allow_networks and deny_networks of the configuration hold."""
    settings = WebhookSettings(allow_networks=["10.0.0.0/8"], deny_networks=["1.0.0.0/8"])
    guard = AddressGuard(settings, resolve=resolver(PUBLIC))
    assert await guard.addresses("10.0.0.1", 80) == [(socket.AF_INET, ("10.0.0.1", 80))]
    with pytest.raises(BlockedAddressError):
        await guard.addresses("a.example", 443)


@pytest.mark.parametrize(
    "resolve",
    [resolver(), failing(socket.gaierror(socket.EAI_NONAME, "?")), failing(UnicodeError("label"))],
)
async def test_a_name_without_addresses(
    resolve: Callable[[str, int], Sequence[SocketAddress]],
) -> None:
    """CH-83: whatever the resolver fails with is one error."""
    with pytest.raises(CannotResolveError):
        await AddressGuard(WebhookSettings(), resolve=resolve).addresses("a.example", 443)


@pytest.mark.parametrize(
    ("url", "addresses", "reason"),
    [
        ("http://a.example/", [PUBLIC], "must be https"),
        ("https://127.1/", [PUBLIC], "four decimal numbers"),
        ("https://127.0.0.1/", [PUBLIC], "not allowed"),
        ("https://[::1]/", [PUBLIC], "not allowed"),
        ("https://a.example/", [PUBLIC, PRIVATE], "not allowed"),
        ("https://a.example/", [], "does not resolve"),
    ],
)
async def test_a_url_is_judged_at_creation(url: str, addresses: list[str], reason: str) -> None:
    """CH-81: the form, the addresses and whether there are any, each with its reason."""
    guard = AddressGuard(WebhookSettings(), resolve=resolver(*addresses))
    with pytest.raises(ValueError, match=reason):
        await guard.judge(url)


async def test_a_good_url_gives_its_endpoint() -> None:
    """CH-81: what may be called comes back taken apart; http for hosts of allow_http."""
    guard = AddressGuard(WebhookSettings(allow_http=["A.example"]), resolve=resolver(PUBLIC))
    assert (await guard.judge("https://b.example/x")).origin == "https://b.example:443"
    assert (await guard.judge("http://a.example/x")).origin == "http://a.example:80"


class SlowResolver:
    """Answers when it is let; counts how often it was asked."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[SocketAddress]:
        self.asked.append(host)
        self.started.set()
        self.go.wait(timeout=30)
        return [(socket.AF_INET, (PUBLIC, port))]


async def test_a_slow_name_is_refused_in_time(autojump_clock: trio.testing.MockClock) -> None:
    """CH-81: judging takes connect_timeout at most, though the lookup cannot be stopped."""
    slow = SlowResolver()
    with pytest.raises(ValueError, match="in time"):
        await AddressGuard(WebhookSettings(), resolve=slow).judge("https://a.example/")
    assert trio.current_time() == pytest.approx(5)
    slow.go.set()


async def test_one_lookup_per_name_at_a_time() -> None:
    """PU-72, isolation: those who wait for one name share one thread, the abandoned one too."""
    slow = SlowResolver()
    guard = AddressGuard(WebhookSettings(), resolve=slow)
    found: list[list[SocketAddress]] = []

    async def look_up() -> None:
        found.append(await guard.addresses("a.example", 443))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(look_up)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await guard.addresses("a.example", 443)
        nursery.start_soon(look_up)
        await trio.testing.wait_all_tasks_blocked()
        slow.go.set()
    assert slow.asked == ["a.example"]
    assert found == [[(socket.AF_INET, (PUBLIC, 443))]] * 2
    await look_up()
    assert slow.asked == ["a.example"] * 2


async def test_lookups_are_bounded() -> None:
    """PU-72: beyond the bound a lookup waits for room, gets it, and gives it back."""
    slow = SlowResolver()
    guard = AddressGuard(WebhookSettings(), resolve=slow, lookups=2)
    async with trio.open_nursery() as nursery:
        for host in ("a.example", "b.example", "c.example", "c.example"):
            nursery.start_soon(guard.addresses, host, 443)
            await trio.testing.wait_all_tasks_blocked()
        await trio.to_thread.run_sync(slow.started.wait)
        assert "c.example" not in slow.asked
        slow.go.set()
    assert set(slow.asked) == {"a.example", "b.example", "c.example"}
    for _ in range(3):
        assert await guard.addresses("d.example", 443)


def test_the_system_resolver_knows_the_loopback() -> None:
    """PU-72: what getaddrinfo says comes as pairs that a socket can connect to."""
    assert (socket.AF_INET, ("127.0.0.1", 443)) in system_resolve("127.0.0.1", 443)
