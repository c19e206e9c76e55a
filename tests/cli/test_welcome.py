"""What `tocsin serve --welcome` prints."""

import re
import time
from pathlib import Path

import attrs
import pytest
from tests.fakes.daemon import configured
from tests.fakes.tokens import SECRET

from tocsin.cli.welcome import USER, welcome
from tocsin.wire.claims import SubscriberClaims
from tocsin.wire.jwk import KeySet, shared_secret
from tocsin.wire.jwt import Rules, verify

PUBLIC, ADMIN = "127.0.0.1:8080", "127.0.0.1:9464"


def exported(text: str) -> dict[str, str]:
    """The variables a reader is told to set."""
    return dict(re.findall(r"^  export (\w+)=(\S+)$", text, re.MULTILINE))


def test_tokens_work(tmp_path: Path) -> None:
    """Each token is one the daemon accepts, with the scope its name says and no more (OP-1)."""
    config = configured(tmp_path, auth={"issuer": "us", "audience": "tocsin"})
    variables = exported(welcome(config, PUBLIC, ADMIN))
    assert variables["TOCSIN"] == f"http://{PUBLIC}"
    rules = Rules(issuer="us", audience="tocsin", default_scopes=frozenset())
    keys = KeySet(shared_secret(SECRET))
    for name, scope in (("CHANNELS", "channels"), ("PUBLISH", "publish"), ("ADMIN", "admin")):
        principal = verify(variables[name], keys, now=time.time(), rules=rules)
        assert principal.user == USER
        assert principal.scopes == {scope}
        assert principal.expires_at > time.time() + 7 * 3600


def test_links_for_two_people(tmp_path: Path) -> None:
    """Where there is a page to try messages with, each link has a token of a subscriber of the
    default domain, with no scope but `messaging` (MS-2, MS-7)."""
    config = configured(tmp_path, messaging={"chat_page": True, "default_domain": "acme"})
    links = re.findall(
        rf"http://{ADMIN}/chat#token=(\S+)$", welcome(config, PUBLIC, ADMIN), re.MULTILINE
    )
    rules = Rules(messaging=SubscriberClaims(default_domain="acme"))
    keys = KeySet(shared_secret(SECRET))
    principals = [verify(token, keys, now=time.time(), rules=rules) for token in links]
    assert [(one.subscriber, one.domain) for one in principals] == [
        ("alice", "acme"),
        ("bob", "acme"),
    ]
    assert [one.user for one in principals] == ["alice@acme", "bob@acme"]
    assert all(one.scopes == {"messaging"} for one in principals)


def test_no_links_without_the_page(tmp_path: Path) -> None:
    """By default there is no such page, so nothing leads there (OP-1)."""
    assert "/chat#" not in welcome(configured(tmp_path), PUBLIC, ADMIN)


@pytest.mark.parametrize("prefix", ["", "/other"])
def test_paths_follow_the_configuration(tmp_path: Path, prefix: str) -> None:
    """URLs and paths to copy are those of this daemon (OP-1)."""
    text = welcome(configured(tmp_path, netapi={"prefix": prefix}), PUBLIC, ADMIN)
    assert f"$TOCSIN{prefix}/notificationchannel/v1/{USER}/channels" in text
    assert f"http://{ADMIN}/metrics" in text
    assert "/cpaas" not in text
    assert not re.search(r"\{\w*\}", text)


def test_without_a_secret(tmp_path: Path) -> None:
    """Where tokens come from an identity provider, it says so instead of making one (CH-11)."""
    config = configured(tmp_path)
    config = attrs.evolve(config, auth=attrs.evolve(config.auth, shared_secret=None))
    text = welcome(config, PUBLIC, ADMIN)
    assert "eyJ" not in text
    assert text.count("set auth.shared_secret") == 3
