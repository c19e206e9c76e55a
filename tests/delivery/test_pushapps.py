"""Which apps may be pushed to, and what an operator may say about them."""

import pytest

from tocsin.delivery.pushapps import App, AppRegistry, PushAppSettings, PushSettings, check

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


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        (
            PushAppSettings("apns", kind="voip", topic="a.b"),
            "topic: has to end in .voip where kind is voip",
        ),
        (PushAppSettings("apns", kind="voip"), "topic: has to end in .voip where kind is voip"),
        (
            PushAppSettings("apns", topic="a.voip"),
            "topic: must not end in .voip where kind is alert",
        ),
        (
            PushAppSettings("apns", token_encoding="raw"),
            "token_encoding: raw is not possible for apns",
        ),
        (
            PushAppSettings("fcm", token_encoding="hex"),
            "token_encoding: hex is not possible for fcm",
        ),
        (PushAppSettings("fcm", kind="voip"), "kind: is for APNs only"),
        (PushAppSettings("fcm", topic="x"), "topic: is for APNs only"),
    ],
)
def test_impossible_apps(app: PushAppSettings, problem: str) -> None:
    """What provider, kind, topic and encoding forbid one another is told at start (PU-20)."""
    settings = PushSettings(apps={"good": PushAppSettings("apns"), "a.b": app})
    assert check(settings) == [f"push.apps.a.b.{problem}"]


def test_possible_apps() -> None:
    """The registry of this file is one that starts (PU-20)."""
    assert check(PushSettings(apps=APPS)) == []


@pytest.mark.parametrize("key", ["", "two words", "1st", "a" * 65])
def test_voip_root_keys_are_root_keys(key: str) -> None:
    """What can be no root key stands in no list of them (CH-73, CH-100)."""
    with pytest.raises(ValueError, match="no root key"):
        PushSettings(voip_root_keys=["gone", key])
