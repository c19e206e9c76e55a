"""What is wrong with apps, credentials and reporters, by path (PU-20)."""

from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.fakes.pushkeys import account, p8

from tocsin.delivery.pushcheck import check
from tocsin.delivery.pushsettings import (
    PushAppSettings,
    PushKeySettings,
    PushSettings,
    ReporterFields,
    ReporterSettings,
)

APPLE: dict[str, Any] = {"team_id": "ABCDE12345", "key_id": "F6G7H8J9K0", "private_key": p8()}
KEYS = {
    "apple": PushKeySettings("apns", **APPLE),
    "google": PushKeySettings("fcm", service_account=account()),
}


def of_key(provider: str, **options: Any) -> list[str]:
    return check(PushSettings(keys={"k": PushKeySettings(provider, **options)}))


def of_app(provider: str, id_: str = "a.b", **options: Any) -> list[str]:
    key = options.pop("key", "apple" if provider == "apns" else "google")
    app = PushAppSettings(provider, key=key, **options)
    settings = PushSettings(keys=KEYS, apps={id_: app}, pass_verbs=["NotifyDoor"])
    return check(settings)


def test_what_is_right(tmp_path: Path) -> None:
    """Credentials of both providers, apps of each kind and a reporter of each way to prove itself
    start (PU-20)."""
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    settings = PushSettings(
        keys=KEYS
        | {
            "local": PushKeySettings(
                "apns", **APPLE, endpoint="https://[::1]:2197", ca_file=str(authority)
            ),
            "named": PushKeySettings("fcm", service_account=account(), project="ex.com:p-2"),
        },
        apps={
            "com.x": PushAppSettings("apns", "apple", key_names={"sel": "s"}, payload_key="n"),
            "com.x.voip": PushAppSettings("apns", "apple", kind="voip", topic="team.x.voip"),
            "droid": PushAppSettings(
                "fcm",
                "google",
                package="com.x_1.y",
                unknown_outcome={"NotifyIncomingCall": "fail", "NotifyDoor": "retry"},
            ),
            "by fcm": PushAppSettings(
                "fcm", "named", platform="apple", key_names={"from": "caller"}
            ),
        },
        reporters={
            "main": ReporterSettings(secret="s3cret"),
            "inside": ReporterSettings("network"),
            "proven": ReporterSettings("bearer", fields=ReporterFields(account="selector")),
        },
        pass_verbs=["NotifyDoor"],
    )
    assert check(settings) == []


@pytest.mark.parametrize(
    ("provider", "options", "problems"),
    [
        (
            "apns",
            {},
            [
                "team_id: must be ten capital letters and digits",
                "key_id: must be ten capital letters and digits",
                "private_key: is missing",
            ],
        ),
        (
            "apns",
            {**APPLE, "team_id": "short", "private_key": "planted"},
            [
                "team_id: must be ten capital letters and digits",
                "private_key: is not a private key in PEM form",
            ],
        ),
        ("apns", {**APPLE, "project": "p"}, ["project: is for FCM only"]),
        ("apns", {**APPLE, "ramp": 0.0}, ["ramp: is for FCM only"]),
        ("fcm", {}, ["service_account: is missing"]),
        ("fcm", {"service_account": "planted"}, ["service_account: is not JSON"]),
        (
            "fcm",
            {"service_account": account(), "key_id": "F6G7H8J9K0"},
            ["key_id: is for APNs only"],
        ),
        (
            "fcm",
            {"service_account": account(), "project": "Not a project"},
            ["project: is no id of a project"],
        ),
        (
            "fcm",
            {"service_account": account(project_id="a/b")},
            ["project: is no id of a project"],
        ),
        *(
            ("apns", {**APPLE, "endpoint": url}, ["endpoint: must be https://host[:port]"])
            for url in (
                *("http://h", "https://h/", "https://h:0", "https://h:65536", "https://u@h"),
                *("https://", "https://h?q", "https://[::1", "https://1.2.3", "h:443"),
            )
        ),
    ],
)
def test_credentials(provider: str, options: dict[str, Any], problems: list[str]) -> None:
    """Each needs what its provider asks for, whole and readable, and nothing of the other's; what
    is in the secret is not shown (PU-20, PU-41, PU-42, PU-43)."""
    found = of_key(provider, **options)
    assert found == [f"push.keys.k.{problem}" for problem in problems]
    assert "planted" not in str(found)


def test_a_service_account_without_project() -> None:
    """The project has to come from somewhere (A.7)."""
    found = of_key("fcm", service_account=account().replace('"project_id"', '"other"'))
    assert found == ["push.keys.k.project: must be set, the service account names none"]


def test_authorities(tmp_path: Path) -> None:
    """A file of authorities that is not there or holds none is told before the first connect."""
    empty = tmp_path / "empty.pem"
    empty.touch()
    [missing] = of_key("apns", **APPLE, ca_file=str(tmp_path / "none.pem"))
    assert missing.startswith("push.keys.k.ca_file: ")
    assert missing.endswith("cannot be read: No such file or directory")
    [useless] = of_key("apns", **APPLE, ca_file=str(empty))
    assert useless.endswith("holds no certificate in PEM form")


@pytest.mark.parametrize(
    ("provider", "options", "problem"),
    [
        ("apns", {"key": ""}, "key: is missing"),
        ("apns", {"key": "none"}, "key: there is no [push.keys.none]"),
        (
            "apns",
            {"key": "google"},
            "key: google is a credential for fcm, the app is for apns",
        ),
        (
            "apns",
            {"kind": "voip", "topic": "x"},
            "topic: has to end in .voip where kind is voip",
        ),
        ("apns", {"kind": "voip"}, "topic: has to end in .voip where kind is voip"),
        ("apns", {"topic": "x.voip"}, "topic: must not end in .voip where kind is alert"),
        ("apns", {"id_": "x.voip", "topic": "x"}, "kind: has to be voip for an id that ends in"),
        ("apns", {"topic": "a\nb"}, "topic: must be letters, digits, dots, _ and -"),
        ("apns", {"topic": ""}, "topic: must be letters, digits, dots, _ and -"),
        ("apns", {"token_encoding": "raw"}, "token_encoding: raw is not possible for apns"),
        ("apns", {"package": "p"}, "package: is for FCM only"),
        ("apns", {"target": "fid"}, "target: is for FCM only"),
        ("fcm", {"token_encoding": "hex"}, "token_encoding: hex is not possible for fcm"),
        ("fcm", {"kind": "voip"}, "kind: is for APNs only"),
        ("fcm", {"topic": "x"}, "topic: is for APNs only"),
        ("fcm", {"environment": "auto"}, "environment: is for APNs only"),
        ("fcm", {"package": "a/b"}, "package: is no name of a package"),
        (
            "fcm",
            {"unknown_outcome": "maybe"},
            "unknown_outcome: must be one of retry, fail, or a table by verb",
        ),
        ("fcm", {"unknown_outcome": {"Notify": "fail"}}, "unknown_outcome.Notify: is no verb"),
        (
            "fcm",
            {"unknown_outcome": {"NotifyDoor": "maybe"}},
            "unknown_outcome.NotifyDoor: must be one of retry, fail",
        ),
        ("apns", {"key_names": {"selector": "s"}}, "key_names.selector: must be one of verb, sel"),
        ("apns", {"key_names": {"sel": ""}}, 'key_names.sel: "" is not possible for apns'),
        ("apns", {"key_names": {"sel": "aps"}}, 'key_names.sel: "aps" is not possible for apns'),
        ("fcm", {"key_names": {"sel": "from"}}, 'key_names.sel: "from" is not possible for fcm'),
        ("fcm", {"key_names": {"sel": "sender"}}, "key_names: gives two of our keys the same"),
        ("apns", {"key_names": {"sel": "id"}}, "key_names: gives two of our keys the same name"),
        ("apns", {"payload_key": "aps"}, 'payload_key: "aps" is not possible for apns'),
        ("fcm", {"payload_key": "gcm.x"}, 'payload_key: "gcm.x" is not possible for fcm'),
    ],
)
def test_apps(provider: str, options: dict[str, Any], problem: str) -> None:
    """What credential, provider, kind, topic, encoding and names forbid one another (PU-20)."""
    [found] = of_app(provider, **options)
    assert found.startswith(f"push.apps.{options.get('id_', 'a.b')}.{problem}")


@pytest.mark.parametrize("id_", ["", "https://x", "a\x00b", "a" * 257])
def test_ids_of_apps(id_: str) -> None:
    """An id names a lane, which is no origin, and is shown (PU-20)."""
    assert len(of_app("fcm", id_)) == 1


@pytest.mark.parametrize(
    ("reporter", "problem"),
    [
        (ReporterSettings(), "secret: is missing"),
        (ReporterSettings(secret=""), "secret: is missing"),
        (ReporterSettings("bearer", "s"), "secret: is not asked for where auth is bearer"),
        (
            ReporterSettings("network", fields=ReporterFields(selector="")),
            "fields.selector: must not be empty",
        ),
    ],
)
def test_reporters(reporter: ReporterSettings, problem: str) -> None:
    """A secret where one is asked for and nowhere else, and a name for every field (PU-24)."""
    assert check(PushSettings(reporters={"r": reporter})) == [f"push.reporters.r.{problem}"]


@pytest.mark.parametrize("name", ["", "a/b", "a b", ".."])
def test_names_that_stand_in_paths(name: str) -> None:
    """Reporters and credentials have plain names."""
    found = check(
        PushSettings(keys={name: KEYS["apple"]}, reporters={name: ReporterSettings("network")})
    )
    assert [line.partition(": ")[0] for line in found] == [
        f"push.keys.{name}",
        f"push.reporters.{name}",
    ]


def test_all_at_once() -> None:
    """Every mistake is listed (OP-6, PU-20)."""
    settings = PushSettings(
        keys={"k": PushKeySettings("apns")},
        apps={"a": PushAppSettings("fcm"), "b": PushAppSettings("apns", "k", topic="b.voip")},
        reporters={"r": ReporterSettings()},
    )
    assert len(check(settings)) == 6
