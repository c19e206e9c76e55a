"""What of another configuration is taken over at once, and what waits for a restart (OP-7)."""

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.pushkeys import push_section
from tests.fakes.tokens import SECRET

from tocsin.config import Config, ConfigError, differences, merged, parse
from tocsin.config.catalogue import ANY_NAME, entries
from tocsin.config.reloading import AT_ONCE, AT_START, WITH_FETCHED_KEYS

OTHER_SECRET = "another secret, also long enough for HS256"
SMART = {"smart": {"channel_types": ["OMAPush"]}}


def config(**tables: Any) -> Config:
    """A configuration with these tables and a key source."""
    tables.setdefault("auth", {"shared_secret": SECRET})
    return parse(tables, folder=Path(), environ={})


def taken_over(running: Config, wanted: Config) -> list[str]:
    """What is different of the one in force."""
    return differences(running, merged(running, wanted))


def test_nothing_differs() -> None:
    """OP-7: the same file again changes nothing, and asks for no restart."""
    assert differences(config(), config()) == []
    assert merged(config(), config()) == config()


def test_every_path_is_an_option_or_a_table() -> None:
    """OP-7: a misspelt path would quietly never be taken over, or always."""
    known = {one.path.removesuffix(f".{ANY_NAME}") for one in entries(Config)}
    assert {*AT_ONCE, *AT_START, *WITH_FETCHED_KEYS} <= known


@pytest.mark.parametrize(
    ("tables", "path"),
    [
        ({"auth": {"shared_secret": OTHER_SECRET}}, "auth.shared_secret"),
        ({"limits": {"channels_per_user": 3}}, "limits.channels_per_user"),
        ({"limits": {"rate": 3}}, "limits.rate"),
        ({"delivery": {"push_retries": [0, 7]}}, "delivery.push_retries"),
        ({"log": {"level": "debug"}}, "log.level"),
        ({"webhooks": {"hosts": {"a.example": {"lane_width": 1}}}}, "webhooks.hosts"),
        ({"push": {"pass_verbs": ["Ours"]}}, "push.pass_verbs"),
        ({"trusted_proxies": ["10.0.0.0/8"]}, "trusted_proxies"),
    ],
)
def test_what_is_taken_over(tables: dict[str, Any], path: str) -> None:
    """OP-7, PU-20: apps, tokens' issuers, limits, retry lists and the log level."""
    running, wanted = config(), config(**tables)
    assert taken_over(running, wanted) == [path]
    assert merged(running, wanted) == wanted


@pytest.mark.parametrize(
    ("tables", "path"),
    [
        ({"listen": {"public": "127.0.0.1:1"}}, "listen.public"),
        ({"store": {"path": "elsewhere.db"}}, "store.path"),
        ({"state_dir": "elsewhere"}, "state_dir"),
        ({"ws": {"engine": "trio-websocket"}}, "ws.engine"),
        ({"limits": {"buffer_count": 7}}, "limits.buffer_count"),
        ({"push": {"feedback_url": "https://a.example/"}}, "push.feedback_url"),
        ({"services": SMART}, "services"),
    ],
)
def test_what_waits_for_a_restart(tables: dict[str, Any], path: str) -> None:
    """OP-7: it is not taken over, but named."""
    running, wanted = config(), config(**tables)
    assert merged(running, wanted) == running
    assert differences(merged(running, wanted), wanted) == [path]


def test_what_is_impossible_without_what_waits() -> None:
    """OP-7: an app of a service that is there only after a restart is a mistake until then."""
    reporter = {"auth": "network", "subscribe": ["smart"]}
    wanted = config(services=SMART, push=push_section({}, reporters={"main": reporter}))
    with pytest.raises(ConfigError) as caught:
        merged(config(), wanted)
    [problem] = caught.value.problems
    assert problem.startswith("push.reporters.main.subscribe: smart is no service for phones")
    assert problem.endswith("as long as services waits for a restart")


def test_a_secret_beside_fetched_keys() -> None:
    """OP-7: who fetches keys has the secret, too, and is made only once."""
    auth = {"jwks_url": "https://keys.example/set", "shared_secret": SECRET}
    running = config(auth=auth)
    wanted = config(auth=auth | {"shared_secret": OTHER_SECRET})
    assert merged(running, wanted) == running
