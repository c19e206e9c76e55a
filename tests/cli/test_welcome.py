"""What `tocsin serve --welcome` prints."""

import re
import time
from pathlib import Path

import attrs
import pytest
from tests.fakes.daemon import configured
from tests.fakes.tokens import SECRET

from tocsin.cli.welcome import USER, welcome
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
