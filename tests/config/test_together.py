"""tocsin.config.together: every mistake at once, and nothing that only follows from another."""

import tomllib
from pathlib import Path

import pytest

from tocsin.config import Config, ConfigError, parse

SECRET = 'auth.shared_secret = "0123456789abcdef0123456789abcdef"\n'


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text), folder=Path(), environ={})
    return caught.value.problems


def paths_of(text: str) -> list[str]:
    return sorted(problem.partition(": ")[0] for problem in problems_of(text))


def test_single_options_do_not_hide_what_is_impossible_together() -> None:
    """OP-6: a wrong option, in the same table or another, leaves the rules across options
    standing: those of their table, of the whole, and of tables that are not there."""
    assert paths_of("""
        drain.window = -1
        netapi.native_app_id = "nobody"
        operator.webhook_url = "http://inside"
        [auth]
        cache_size = 0
        introspection.client_id = "x"
        builtin.enabled = true
        [messaging]
        welcome = "yes"
        domain_claim = "realm"
        user_template = "{subscriber}"
        introspect_jwt = true
        prefix = "/pnm2"
        [tls]
        minimum = "1.1"
        key = "x"
        [delivery.policies]
        fax = "all"
    """) == [
        "auth",
        "auth.builtin.enabled",
        "auth.cache_size",
        "auth.introspection.client_secret",
        "auth.introspection.url",
        "delivery.policies.fax",
        "drain.window",
        "messaging.introspect_jwt",
        "messaging.prefix",
        "messaging.user_template",
        "messaging.welcome",
        "netapi.native_app_id",
        "operator.webhook_url",
        "tls.certificate",
        "tls.minimum",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "auth.shared_secret = 7",
        'auth.shared_secert = "0123456789abcdef0123456789abcdef"',
        "auth.shared_secret = { env = 'NOT_THERE' }",
        f"{SECRET}services.fax.priority = 'soon'\ndelivery.policies.fax = 'all'",
        f"""{SECRET}services.fax.priority = 'soon'
        push.reporters.main = {{ auth = 'network', subscribe = ['fax'] }}""",
        f"{SECRET}push.apps.a = {{ provider = 'gcm' }}\nnetapi.native_app_id = 'a'",
        f"{SECRET}tls = {{ certificate = {{ file = '/no/such' }}, key = 'x' }}",
        f"{SECRET}webhooks.allow_http = 'inside'\noperator.webhook_url = 'http://inside/'",
        f"{SECRET}auth.introspection = 7\nmessaging.introspect_jwt = true",
        "auth = 7",
    ],
)
def test_what_only_follows_is_not_told(text: str) -> None:
    """OP-6: one mistake is one line, whatever rules would have wanted to know the value."""
    assert len(problems_of(text)) == 1


def test_nothing_is_hidden_by_a_missing_value() -> None:
    """A value that must be there and is not stays unknown to rules, too."""
    assert paths_of(f'{SECRET}push.reporters.r = {{}}\nnetapi.native_app_id = "x"') == [
        "netapi.native_app_id",
        "push.reporters.r.secret",
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('messaging.prefix = "/v1"', "/v1/notifications"),
        ('messaging.prefix = "/v1/messaging"', "/v1/messaging"),
        ('messaging.prefix = "/v1/messaging/x"', "/v1/messaging"),
        ('messaging.prefix = "/cpaas"', "/cpaas"),
        ('messaging.prefix = "/cpaas/messaging"', "/cpaas"),
        ('netapi.prefix = "/messaging"', "/messaging"),
        ('messaging.prefix = "/push"', "/push/report"),
        ('public_base_url = "https://x"\nmessaging.prefix = "/chat"', "/chat/v1"),
        ('netapi.prefix = ""\nmessaging.prefix = "/auth/v1"', "/auth"),
        (
            'public_base_url = "https://x"\nservices.fax.path = "/messaging/{user}/fax"',
            "/messaging",
        ),
    ],
)
def test_messaging_wants_a_prefix_of_its_own(text: str, path: str) -> None:
    """Nothing else is at, below or above it, so no start fails on that and no path is lost."""
    [problem] = problems_of(SECRET + text)
    assert problem == f"messaging.prefix: {path} is something else; take a name of its own"


@pytest.mark.parametrize(
    "text",
    [
        'messaging.prefix = "/v2"',
        'messaging.prefix = "/cpaas2"',
        'messaging.prefix = "/chat"',
        'messaging = { prefix = "/cpaas", enabled = false }',
    ],
)
def test_prefixes_that_will_do(text: str) -> None:
    """Names that only begin alike, and those of what is not served, are free."""
    config = parse(tomllib.loads(SECRET + text), folder=Path(), environ={})
    assert isinstance(config, Config)
