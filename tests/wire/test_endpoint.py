"""Tests of the one strict reading of a webhook's URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.endpoint import Endpoint, hosts_problem, normal_host, parse_url


def parsed(url: str) -> Endpoint:
    return parse_url(url, allow_http={"intranet", "127.0.0.1", "::1"})


def test_a_url_is_taken_apart() -> None:
    """CH-81: scheme, host, port, request target, and the lane they make."""
    assert parsed("HTTPS://Example.COM/hook?a=b") == Endpoint(
        origin="https://example.com:443",
        scheme="https",
        host="example.com",
        port=443,
        target="/hook?a=b",
        host_header="example.com",
    )


@pytest.mark.parametrize(
    ("url", "origin", "target", "host_header"),
    [
        ("https://a.example", "https://a.example:443", "/", "a.example"),
        ("https://a.example.", "https://a.example:443", "/", "a.example"),
        ("https://a.example?x=1", "https://a.example:443", "/?x=1", "a.example"),
        ("https://a.example:8443/x", "https://a.example:8443", "/x", "a.example:8443"),
        ("https://a.example:80/", "https://a.example:80", "/", "a.example:80"),
        ("https://8.8.8.8/", "https://8.8.8.8:443", "/", "8.8.8.8"),
        ("https://[2606:4700:0::1]/", "https://[2606:4700::1]:443", "/", "[2606:4700::1]"),
        ("http://[::1]:8080/", "http://[::1]:8080", "/", "[::1]:8080"),
        ("http://intranet/", "http://intranet:80", "/", "intranet"),
        ("https://bücher.example/", "https://xn--bcher-kva.example:443", "/", None),
        ("https://faß.example/", "https://xn--fa-hia.example:443", "/", None),
        ("https://a.example/é|{}", "https://a.example:443", "/%C3%A9%7C%7B%7D", "a.example"),
        ("https://a.example/%41@:/", "https://a.example:443", "/%41@:/", "a.example"),
    ],
)
def test_forms_that_are_accepted(
    url: str, origin: str, target: str, host_header: str | None
) -> None:
    """CH-81, PU-71: names are IDNA-encoded, targets percent-encoded, ports always told."""
    endpoint = parsed(url)
    assert (endpoint.origin, endpoint.target) == (origin, target)
    assert host_header is None or endpoint.host_header == host_header


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/hook",
        "//a.example/",
        "https:/a.example/",
        "https:///hook",
        "ftp://a.example/",
        "http://a.example/",
        "https://user@a.example/",
        "https://user:pw@a.example/",
        "https://intranet:pw@a.example/",
        "https://a.example/#part",
        "https://a.example#@b.example/",
        "https://a.example\\@b.example/",
        "https://a.example/ hook",
        "https://a.example/\r\nHost: b",
        "https://a.example/\x00",
        " https://a.example/",
        "https://a.example/\n",
        "https://a.example:0/",
        "https://a.example:22/",
        "https://a.example:1023/",
        "https://a.example:65536/",
        "https://a.example:443:443/",
        "https://a.example:٤٤٣/",
        "https://a.example:/",
        "https://a..example/",
        "https://.example/",
        "https://a%2eexample/",
        "https://" + "a" * 64 + ".example/",
        "https://a.example/" + "x" * 2048,
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://127.0.0.1.1/",
        "https://256.0.0.1/",
        "https://1.2.3/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[::1/",
        "https://::1/",
        "https://[127.0.0.1]/",
        "https://[v1.a]/",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    """CH-81, PU-71, SE-4: no crooked spelling of host, port or credentials gets past."""
    with pytest.raises(ValueError, match=r"."):
        parsed(url)


def test_compatibility_digits_are_an_ip_address() -> None:
    """PU-71: digits that IDNA maps to ASCII are read as the address they would become."""
    assert parsed("https://①②⑦。⓪.⓪.①/").host == "127.0.0.1"


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    """SE-6: whatever the text, an endpoint fit for a request head or ValueError."""
    for url in (text, f"https://{text}", f"https://a.example/{text}"):
        try:
            endpoint = parsed(url)
        except ValueError:
            continue
        head = endpoint.target + endpoint.host_header
        assert head.isascii()
        assert not set(head) & set("\r\n\t #")


def test_hosts_of_the_configuration() -> None:
    """CH-81: allow_http names hosts in any spelling, and mistakes are told."""
    assert normal_host("[::1]") == normal_host("0:0::1") == "::1"
    assert normal_host("Intranet.") == "intranet"
    assert hosts_problem(["localhost", "127.0.0.1", "::1"]) is None
    assert "'a/b'" in (hosts_problem(["localhost", "a/b"]) or "")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://a.example", "a.example"),
        ("HTTP://a.example:8080/x?y#z", "a.example"),
        ("a.example:443", "a.example"),
        ("a.example/", "a.example"),
        ("http://[::1]:80", "[::1]"),
    ],
)
def test_more_than_a_host(text: str, host: str) -> None:
    """OP-6: where an operator has written a URL for a host, he is told what to write."""
    assert (hosts_problem([text]) or "").endswith(f"without scheme, port and path: {host!r}")
    assert hosts_problem([host]) is None
