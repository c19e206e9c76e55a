"""tocsin.server.trusted: who needs no token to push (PU-9)."""

import pytest

from tocsin.server.peers import Networks, Proxies
from tocsin.server.trusted import is_trusted

LOOPBACK = Networks(["127.0.0.0/8", "::1/128"])
NO_PROXIES = Proxies(Networks([]))
PROXY = Proxies(Networks(["127.0.0.1/32", "192.0.2.0/24"]))


def trusted(
    peer: str, proxies: Proxies = NO_PROXIES, networks: Networks = LOOPBACK, **headers: str
) -> bool:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return is_trusted(peer, named, networks, proxies)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True)),
        *(("192.0.2.1", False), ("2001:db8::1", False), ("", False), ("garbage", False)),
    ],
)
def test_the_address_decides(peer: str, expected: bool) -> None:
    """No token is needed from inside the networks, and from there alone (PU-9)."""
    assert trusted(peer) is expected


def test_a_unix_socket_is_trusted_by_name() -> None:
    """A peer without an address is inside where the networks say `unix`."""
    assert trusted("", networks=Networks(["unix"]))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer x"},
        {"authorization": ""},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_tokens_and_browsers_are_always_checked(headers: dict[str, str]) -> None:
    """A token that is there counts also from a trusted network, and a page that a browser shows
    never goes without one (PU-9)."""
    assert not trusted("127.0.0.1", **headers)


@pytest.mark.parametrize("header", ["x_forwarded_for", "x_real_ip", "forwarded"])
def test_a_proxy_nobody_knows_opens_nothing(header: str) -> None:
    """Who hands on requests on this very host without being named a proxy does not lend them its
    own address, whatever it says of theirs (PU-9)."""
    value = "for=127.0.0.1" if header == "forwarded" else "127.0.0.1"
    assert not trusted("127.0.0.1", **{header: value})
    assert not trusted("127.0.0.1", **{header: ""})
    assert not trusted("192.0.2.1", **{header: value})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x_forwarded_for": "127.0.0.1"}, True),
        ({"x_forwarded_for": "10.0.0.1"}, False),
        ({"x_forwarded_for": "127.0.0.1, 10.0.0.1"}, False),
        ({"x_forwarded_for": "127.0.0.7, 192.0.2.9"}, True),
        ({"x_forwarded_for": "unknown"}, False),
        ({"x_forwarded_for": "unknown, 127.0.0.1"}, False),
        ({"forwarded": "for=127.0.0.2"}, True),
        ({"forwarded": 'for="[::1]:99"'}, True),
        ({"forwarded": "for=_hidden"}, False),
        ({"forwarded": "proto=https"}, False),
        ({"x_real_ip": "127.0.0.1"}, True),
        ({"x_real_ip": " ::1 "}, True),
        ({"x_real_ip": "10.0.0.1"}, False),
        ({"x_real_ip": "127.0.0.1, 127.0.0.1"}, False),
        ({"x_real_ip": "10.0.0.1", "x_forwarded_for": "127.0.0.1"}, False),
        ({"x_real_ip": "127.0.0.1", "x_forwarded_for": "10.0.0.1"}, False),
        ({"forwarded": "for=127.0.0.1", "x_forwarded_for": "10.0.0.1"}, False),
        ({"x_real_ip": "127.0.0.1", "x_forwarded_for": "127.0.0.1"}, True),
    ],
)
def test_a_known_proxy_names_the_client(headers: dict[str, str], expected: bool) -> None:
    """Behind a proxy of ours the address it names decides; headers that disagree, of which the
    client may have written one, open nothing, nor does a hop that names nobody (PU-9, OP-9)."""
    assert trusted("127.0.0.1", PROXY, **headers) is expected


def test_a_proxy_that_names_nobody_speaks_for_itself() -> None:
    """Without such a header the proxy is a client like any other."""
    assert trusted("127.0.0.1", PROXY)
    assert not trusted("192.0.2.1", PROXY)
