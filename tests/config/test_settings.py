"""Rules that options of different tables make for one another."""

import tomllib
from pathlib import Path

import pytest
from tests.fakes.pushkeys import account, p8

from tocsin.config import Config, ConfigError, parse

SECRET = {"auth": {"shared_secret": "0123456789abcdef0123456789abcdef"}}
KEYS = f"""
push.keys.google = {{ provider = "fcm", service_account = '{account()}' }}
[push.keys.apple]
provider = "apns"
team_id = "ABCDE12345"
key_id = "F6G7H8J9K0"
private_key = '''{p8()}'''
"""
PUSH = f"""{KEYS}
[push.apps."com.x.android"]
provider = "fcm"
key = "google"
unknown_outcome = {{ NotifyIncomingCall = "fail" }}
[push.apps."com.x"]
provider = "apns"
key = "apple"
"""


def parsed(text: str) -> Config:
    return parse({**tomllib.loads(text), **SECRET}, folder=Path(), environ={})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'netapi.prefix = ""\npublic_base_url = "https://x"',
            "netapi.prefix: must not be empty next to public_base_url",
        ),
        (
            'public_base_url = "https://x"\nservices.fax.path = "/cpaas/chat/v1/{user}/x"',
            "services.fax.path: must not begin with netapi.prefix next to public_base_url",
        ),
        (
            f'netapi.native_app_id = "com.x"\n{PUSH}',
            "netapi.native_app_id: must be an FCM app of [push.apps]",
        ),
        (
            'netapi.native_app_id = "com.x"',
            "netapi.native_app_id: must be an FCM app of [push.apps]",
        ),
        (
            f'{KEYS}[push.apps."a.b"]\nprovider = "apns"\nkey = "apple"\ntopic = "a.voip"',
            "push.apps.a.b.topic: must not end in .voip where kind is alert",
        ),
        ("[push.apps.a]", "push.apps.a.provider: is missing"),
        ('delivery.policies.fax = "all"', "delivery.policies.fax: is no service"),
        (
            "publish.body = 67_108_864\nlimits.http_bytes = 134_217_727",
            "limits.http_bytes: must be at least 134217728, for two bodies of the largest size",
        ),
        (
            'delivery.policies.sms = "never"',
            "delivery.policies: sms: must be one of escalate, all",
        ),
        (
            "push.apps.a = {provider = 'gcm'}",
            "push.apps.a.provider: must be one of apns, fcm",
        ),
        (
            'push.feedback_url = "http://hook.example/"',
            "push.feedback_url: must be https, http is not allowed for this host",
        ),
        ('operator.webhook_url = "x"', "operator.webhook_url: not a URL of the form"),
        ('push.roots.gone = "loud"', 'push.roots: "gone" must be one of alert, background, skip'),
        ('push.trusted_networks = ["x"]', "push.trusted_networks: 'x' is not a network"),
        ("push.reporters.r = {}", "push.reporters.r.secret: is missing"),
        ('push.reporters.r = { auth = "none" }', "push.reporters.r.auth: must be one of secret, "),
        (
            'push.reporters.r = { auth = "network", fields = { acount = "x" } }',
            "push.reporters.r.fields.acount: unknown option, did you mean push.reporters.r.fields",
        ),
        *(
            (
                f'push.reporters.r = {{ auth = "network", subscribe = ["{service}"] }}',
                f"push.reporters.r.subscribe: {service} is no service for phones",
            )
            for service in ("presence", "account", "fax")
        ),
    ],
)
def test_impossible_together(text: str, problem: str) -> None:
    """Dialects that would share their paths, a native app nobody registered, impossible apps,
    reporters and hooks keep the daemon from starting, each with its path (CH-1, CH-33, PU-20)."""
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    [found] = caught.value.problems
    assert found.startswith(problem)


def test_possible_together() -> None:
    """Both dialects and a native app that is registered (CH-1, CH-33)."""
    config = parsed(
        f'public_base_url = "https://x"\nnetapi.native_app_id = "com.x.android"\n{PUSH}'
    )
    assert config.push.apps["com.x"].provider == "apns"
    assert config.push.apps["com.x.android"].unknown_outcome == {"NotifyIncomingCall": "fail"}


def test_reporters() -> None:
    """Fields are renamed one by one, and a service of the operator's own is subscribed to."""
    config = parsed(
        """
        services.fax.channel_types = ["OMAPush"]
        push.reporters.main.secret = "s3cret"
        push.reporters.main.subscribe = ["sms", "fax"]
        push.reporters.main.fields.account = "user"
        """
    )
    fields = config.push.reporters["main"].fields
    assert (fields.account, fields.selector) == ("user", "selector")


@pytest.mark.parametrize(
    "url",
    ["https://x.example", "http://x:8080/", "https://[2001:db8::1]:8443", "http://127.0.0.1"],
)
def test_public_base_urls(url: str) -> None:
    """Scheme, host and port, with or without a slash at the end (CH-1)."""
    assert parsed(f'public_base_url = "{url}"').public_base_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "x.example", "//x", "ftp://x", "wss://x", "https://", "https:///", "https://x//"),
        *("https://x/path", "https://x?q", "https://x#f", "https://u:p@x", "https://u@x"),
        *(
            "https://x:0",
            "https://x:65536",
            "https://x:",
            "https://a b",
            "https://1.2.3",
            "https://ünï",
        ),
    ],
)
def test_what_is_no_public_base_url(url: str) -> None:
    """Anything that would make crooked URLs in answers is told at start (CH-1, OP-6)."""
    with pytest.raises(ConfigError) as caught:
        parsed(f'public_base_url = "{url}"')
    assert [line.partition(":")[0] for line in caught.value.problems] == ["public_base_url"]
