"""tocsin.config.doubts: what works, but is hardly meant."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.fakes.tokens import SECRET

from tocsin.config import doubts, parse

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AUTHORITY = trustme.CA()


def told(**tables: Any) -> list[str]:
    tables.setdefault("auth", {"shared_secret": SECRET})
    return doubts(parse(tables, folder=Path(), environ={}), now=NOW.timestamp())


def certificate(begin: datetime, end: datetime) -> dict[str, str]:
    leaf = AUTHORITY.issue_cert("localhost", not_before=begin, not_after=end)
    return {
        "certificate": leaf.cert_chain_pems[0].bytes().decode(),
        "key": leaf.private_key_pem.bytes().decode(),
    }


def test_no_doubt() -> None:
    """An ordinary configuration is told nothing."""
    good = certificate(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert told() == []
    assert told(tls=good, public_base_url="https://x.example") == []


def test_certificates_that_do_not_count_now() -> None:
    """OP-8: expired, or not yet valid: clients will not connect, but who renews it may reload."""
    old = certificate(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC))
    new = certificate(datetime(2026, 11, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert told(tls=old) == ["tls.certificate: expired on 2026-11-22 00:00:00Z; clients refuse it"]
    assert told(tls=new) == [
        "tls.certificate: is not valid before 2026-11-23 00:00:00Z; clients refuse it until then"
    ]


@pytest.mark.parametrize(
    ("url", "is_doubtful"),
    [
        ("http://keys.example/set", True),
        ("HTTP://keys.example/set", True),
        ("http://10.0.0.1:8080/set", True),
        ("http://localhost.example/set", True),
        ("https://keys.example/set", False),
        ("http://localhost:8080/set", False),
        ("http://keys.localhost/set", False),
        ("http://127.0.0.1:8080/set", False),
        ("http://[::1]/set", False),
    ],
)
def test_what_says_which_tokens_are_good(url: str, is_doubtful: bool) -> None:
    """SE-1: keys, and answers about tokens, that anybody on the way can write."""
    keys = told(auth={"jwks_url": url})
    asked = told(auth={"introspection": {"url": url}})
    assert [line.partition(": ")[0] for line in keys + asked] == (
        ["auth.jwks_url", "auth.introspection.url"] if is_doubtful else []
    )


@pytest.mark.parametrize(
    ("tables", "option"),
    [
        ({"trusted_proxies": ["10.0.0.0/8", "0.0.0.0/0"]}, "trusted_proxies"),
        ({"push": {"trusted_networks": ["::/0"]}}, "push.trusted_networks"),
        (
            {"auth": {"shared_secret": SECRET, "default_scopes": ["admin"]}},
            "auth.default_scopes",
        ),
    ],
)
def test_trust_in_everybody(tables: dict[str, Any], option: str) -> None:
    """OP-9, PU-9, SE-1: what was opened wider than anybody means."""
    [doubt] = told(**tables)
    assert doubt.startswith(f"{option}: ")


def test_two_schemes() -> None:
    """OP-8: addresses that clients are told should be those they can connect to."""
    good = certificate(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    [doubt] = told(tls=good, public_base_url="http://x.example")
    assert doubt.startswith("public_base_url: ")
