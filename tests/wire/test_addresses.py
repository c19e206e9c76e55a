"""Tests of the table of forbidden addresses."""

import ipaddress

import pytest

from tocsin.wire.addresses import is_forbidden, networks_problem, parse_networks


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.1.1",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "192.80.8.124",
        "::",
        "::1",
        "::a9fe:a9fe",
        "::10.0.0.1",
        "::8.8.8.8",
        "::ffff:0:10.0.0.1",
        "::ffff:0:8.8.8.8",
        "1::1",
        "64:ff9b:1::1",
        "100::1",
        "100:0:0:1::1",
        "1fff:ffff::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002::1",
        "2620:4f:8000::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:168.63.129.16",
        "::ffff:10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_everything_that_is_not_public_is_forbidden(address: str) -> None:
    """PU-73, SE-4: each special row, what is no global unicast, mapped and NAT64 by the IPv4."""
    assert is_forbidden(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "128.0.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "168.63.129.15",
        "192.80.8.125",
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00::1",
        "3ffe::1",
    ],
)
def test_public_addresses_pass(address: str) -> None:
    """PU-73: the neighbours of the forbidden networks are not forbidden."""
    assert not is_forbidden(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("address", "allow", "deny", "forbidden"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], [], False),
        ("10.1.2.3", ["0.0.0.0/0"], [], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], [], False),
        ("192.168.0.1", ["10.0.0.0/8"], [], True),
        ("8.8.8.8", [], ["8.0.0.0/8"], True),
        ("8.8.8.8", ["8.8.8.8"], ["8.0.0.0/8"], False),
        ("10.0.0.1", ["10.0.0.0/8"], ["10.0.0.1"], True),
        ("10.0.0.1", ["10.0.0.0/8"], ["10.0.0.0/8"], True),
        ("fd00::1", ["fd00::/8"], [], False),
        ("::a9fe:a9fe", ["::a9fe:a9fe"], [], False),
        ("4000::1", ["4000::/3"], [], False),
        ("64:ff9b:1::1", ["64:ff9b:1::/48"], [], False),
        ("168.63.129.16", ["168.63.129.16"], [], False),
        ("168.63.129.16", ["::/0"], [], True),
        ("2606:4700::1111", ["0.0.0.0/0"], ["::/0"], True),
    ],
)
def test_an_operator_adds_and_excepts(
    address: str, allow: list[str], deny: list[str], forbidden: bool
) -> None:
    """PU-73: deny adds, allow excepts, the narrower of the two wins."""
    verdict = is_forbidden(
        ipaddress.ip_address(address), allow=parse_networks(allow), deny=parse_networks(deny)
    )
    assert verdict is forbidden


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "10.1.2.3/8", "example.com", "::ffff:0:0/100"])
def test_what_is_not_a_network_is_named(text: str) -> None:
    """OP-6: a mistake in a list of networks is told with the text that is wrong."""
    assert repr(text) in (networks_problem(["10.0.0.0/8", text]) or "")
    assert networks_problem(["10.0.0.0/8", "::1"]) is None
