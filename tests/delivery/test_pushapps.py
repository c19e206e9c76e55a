"""Which apps may be pushed to, and how they are found."""

import pytest
from tests.fakes.pushkeys import account

from tocsin.delivery.pushapps import (
    App,
    AppRegistry,
    PushAppSettings,
    PushKeySettings,
    PushSettings,
)
from tocsin.wire.push.pn import PnTarget

HEX = "AB" * 32
APPS = {
    "com.x": PushAppSettings("apns"),
    "com.y": PushAppSettings("apns", topic="team.y", token_encoding="hex"),
    "com.z.voip": PushAppSettings("apns", kind="voip", topic="own.voip"),
    "com.z": PushAppSettings("apns"),
    "droid": PushAppSettings("fcm"),
}
REGISTRY = AppRegistry(APPS)


def test_apps_are_found_by_id_and_provider() -> None:
    """The id counts exactly and the provider must be the app's (CH-32, PU-21)."""
    assert REGISTRY.find("com.x", "apns") == App(
        "com.x", "apns", topic="com.x", unknown_outcomes={"": "retry"}
    )
    assert REGISTRY.find("droid", "fcm") is not None
    for app_id, provider in (
        *(("com.x", "fcm"), ("droid", "apns"), ("COM.X", "apns"), ("com.x ", "apns")),
        *(("", "apns"), (".voip", "apns"), ("droid.voip", "fcm"), ("droid.voip", "apns")),
    ):
        assert REGISTRY.find(app_id, provider) is None, app_id


def test_the_voip_app_that_nobody_registered() -> None:
    """`X.voip` is there where X is an APNs app, with X's tokens and X's topic plus `.voip`; one
    that is registered stands as it is (PU-21)."""
    assert REGISTRY.find("com.y.voip", "apns") == App(
        "com.y.voip",
        "apns",
        kind="voip",
        topic="team.y.voip",
        token_encoding="hex",
        unknown_outcomes={"": "retry"},
    )
    registered = REGISTRY.find("com.z.voip", "apns")
    assert registered is not None
    assert registered.topic == "own.voip"
    assert REGISTRY.find("com.y.voip", "fcm") is None
    assert REGISTRY.find("nobody.voip", "apns") is None


def test_tokens_by_app() -> None:
    """Each provider has its form of tokens, each app its encoding (PU-22)."""
    apns, hexed, fcm = (
        REGISTRY.find("com.x", "apns"),
        REGISTRY.find("com.y.voip", "apns"),
        REGISTRY.find("droid", "fcm"),
    )
    assert apns is not None
    assert hexed is not None
    assert fcm is not None
    assert apns.normalise(HEX) == HEX.lower()
    assert fcm.normalise("AB:c") == "AB:c"
    with pytest.raises(ValueError, match="malformed"):
        hexed.normalise("q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=")


def test_a_voip_app_implies_no_other() -> None:
    """A PushKit app has no PushKit app of its own (PU-21)."""
    assert REGISTRY.find("com.z.voip.voip", "apns") is None


def apns(topic: str, environment: str = "production") -> PnTarget:
    return PnTarget("apns", "00", environment=environment, topic=topic)


BY_TOPIC = AppRegistry(
    {
        "prod": PushAppSettings("apns", topic="com.x"),
        "dev": PushAppSettings("apns", topic="com.x", environment="sandbox"),
        "later": PushAppSettings("apns", topic="com.x"),
        "either": PushAppSettings("apns", topic="com.y", environment="auto"),
        "calls": PushAppSettings("apns", topic="com.y.voip", kind="voip"),
        "calls.voip": PushAppSettings("apns", topic="com.z.voip", kind="voip"),
        "calls2": PushAppSettings("apns", topic="com.w"),
        "calls2.voip": PushAppSettings("apns", topic="com.other.voip", kind="voip"),
    }
)


@pytest.mark.parametrize(
    ("target", "app_id"),
    [
        (apns("com.x"), "prod"),
        (apns("com.x", "sandbox"), "dev"),
        (apns("com.x.voip", "sandbox"), "dev.voip"),
        (apns("com.y"), "either"),
        (apns("com.y", "sandbox"), "either"),
        (apns("com.y.voip"), "calls"),
        (apns("com.y.voip", "sandbox"), "either.voip"),
        (apns("com.z.voip"), "calls.voip"),
        (apns("com.w.voip"), None),
        (apns("com.z.voip", "sandbox"), None),
        (apns("COM.X"), None),
        (apns(""), None),
        (PnTarget("webpush", "https://h/x"), None),
    ],
)
def test_apps_by_topic(target: PnTarget, app_id: str | None) -> None:
    """One look-up by topic and environment; of several apps the one that is for this environment,
    and the first; a PushKit topic finds the app that nobody registered (PU-21, PU-27)."""
    found = BY_TOPIC.find_pn(target)
    assert (found and found.id) == app_id
    if found is not None:
        assert BY_TOPIC.find(found.id) == found


def test_apps_by_project() -> None:
    """One look-up by project, which the credential or its service account names (PU-27)."""
    settings = PushSettings(
        keys={
            "named": PushKeySettings("fcm", project="p-2", service_account=account()),
            "own": PushKeySettings("fcm", service_account=account(project_id="p-1")),
            "apple": PushKeySettings("apns"),
        },
        apps={
            "other": PushAppSettings("apns", key="apple"),
            "droid": PushAppSettings("fcm", key="own"),
            "second": PushAppSettings("fcm", key="own"),
            "tablet": PushAppSettings("fcm", key="named"),
        },
    )
    registry = AppRegistry.of(settings)
    for project, app_id in (("p-1", "droid"), ("p-2", "tablet"), ("p-3", None), ("", None)):
        found = registry.find_pn(PnTarget("fcm", "t", project=project))
        assert (found and found.id) == app_id
    assert registry.find("droid") is not None
