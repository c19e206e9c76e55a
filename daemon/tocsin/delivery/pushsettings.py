"""What an operator may say about pushing: `[push]` (push.md, A.7 and A.8)."""

import re

import attrs

from tocsin.model.option import option, section
from tocsin.wire.addresses import networks_problem
from tocsin.wire.devicetoken import ENCODINGS, PROVIDERS
from tocsin.wire.notification import ROOT_KEY
from tocsin.wire.push.verbs import VERBS

ROOTS = ("alert", "background", "skip")
UNIX = "unix"
_CONTENT_TYPE = re.compile(r"[!#$&^_.+a-z0-9-]+/(?:\*|[!#$&^_.+a-z0-9-]+)", re.IGNORECASE)


def _root_keys_problem(keys: list[str]) -> str | None:
    wrong = next((key for key in keys if not ROOT_KEY.fullmatch(key)), None)
    return None if wrong is None else f'"{wrong}" is no root key of a notification'


def _roots_problem(roots: dict[str, str]) -> str | None:
    for key, word in roots.items():
        if word not in ROOTS:
            return f'"{key}" must be one of {", ".join(ROOTS)}'
    return _root_keys_problem(list(roots))


def _pass_verbs_problem(verbs: list[str]) -> str | None:
    known = next((verb for verb in verbs if verb in VERBS), None)
    if known is not None:
        return f'"{known}" is a verb the gateway knows'
    wrong = next((verb for verb in verbs if not ROOT_KEY.fullmatch(verb)), None)
    return (
        None
        if wrong is None
        else f'"{wrong}" must be a letter, then up to 63 of A-Z, a-z, 0-9, _ and -'
    )


def _content_types_problem(types: list[str]) -> str | None:
    wrong = next((one for one in types if not _CONTENT_TYPE.fullmatch(one)), None)
    return (
        None if wrong is None else f'"{wrong}" is no content type; write "type/subtype" or "type/*"'
    )


def _trusted_problem(networks: list[str]) -> str | None:
    return networks_problem([one for one in networks if one != UNIX])


@attrs.frozen
class PushKeySettings:
    """`[push.keys.<name>]`: a credential; several apps may share it."""

    provider: str = option(attrs.NOTHING, "Whose credential it is.", choices=PROVIDERS)
    team_id: str | None = option(None, "APNs: the team, ten letters and digits.")
    key_id: str | None = option(None, "APNs: the id of the key, ten letters and digits.")
    private_key: str | None = option(None, "APNs: the text of the .p8 file.", secret=True)
    connections: int = option(2, "Connections at most, for each environment.", minimum=1, maximum=4)
    endpoint: str = option(
        "", "https://host:port that is called instead of the provider; for tests and proxies."
    )
    ca_file: str = option(
        "",
        "PEM file of the authorities that are trusted instead of the system's, for this endpoint "
        "and for the token_uri of the service account.",
    )
    service_account: str | None = option(
        None, "FCM: the text of the service account's JSON file.", secret=True
    )
    project: str = option("", "FCM: the project; empty, it is that of the service account.")
    rate: int = option(10_000, "FCM: pushes a second for the project, 0 for no limit.", minimum=0)
    ramp: float = option(
        60.0,
        "FCM: seconds from a tenth to the full rate after the start or a pause, 0 for none.",
        minimum=0,
        maximum=3600,
    )


@attrs.frozen
class PushAppSettings:
    """`[push.apps.<id>]`"""

    provider: str = option(attrs.NOTHING, "Who delivers to this app.", choices=PROVIDERS)
    key: str = option("", "The credential, by its name in [push.keys]; has to be set.")
    kind: str = option(
        "alert",
        "APNs: voip for the PushKit tokens of an app, which are for calls only.",
        choices=("alert", "voip"),
    )
    topic: str | None = option(None, "APNs: the topic; not set, it is the app's id.")
    environment: str = option(
        "production",
        "APNs: where its tokens are known; auto finds out for each.",
        choices=("production", "sandbox", "auto"),
    )
    token_encoding: str = option(
        "auto", "The form device tokens come in; raw is for FCM only.", choices=ENCODINGS
    )
    ack: str = option(
        "provider",
        "When the gateway answers: provider waits for its word, durable does not.",
        choices=("provider", "durable"),
    )
    call_ttl: int = option(45, "Seconds an incoming call may ring.", minimum=1, maximum=600)
    call_without_voip: str = option(
        "alert",
        "APNs: an incoming call on an alert app becomes an alert, or is refused.",
        choices=("alert", "refuse"),
    )
    unknown_outcome: str | dict[str, str] = option(
        "retry",
        "What a push is taken for whose answer never came: retry or fail, or a table by verb.",
    )
    key_names: dict[str, str] = option({}, "Other names for our keys in the payload.")
    payload_key: str = option("", "The key that notifications of channels are wrapped under.")
    platform: str = option(
        "android",
        "FCM: what the app runs on.",
        choices=("android", "apple", "web"),
    )
    target: str = option(
        "token", "FCM: what its tokens are; fid for installation ids.", choices=("token", "fid")
    )
    package: str = option("", "FCM: restricts pushes to this package name.")


@attrs.frozen
class ReporterFields:
    """`[push.reporters.<name>.fields]`: what apps call the things they report."""

    account: str = option("username", "Whose the device is: the user of its channels.")
    selector: str = option("selector", "The account on the device: their clientCorrelator.")
    token_calls: str = option("pushTokenIncomingCall", "The token for calls.")
    app_calls: str = option("pushappid_incoming_call", "The app it belongs to.")
    token_other: str = option("pushTokenOther", "The token for everything else.")
    app_other: str = option("pushappid_other", "The app it belongs to.")
    token_any: str = option("pushToken", "The only token, on platforms with one.")
    app_any: str = option("pushappid", "The app it belongs to.")
    secret: str = option("key", "The secret, where auth says so.")


@attrs.frozen
class ReporterSettings:
    """`[push.reporters.<name>]`"""

    auth: str = option(
        "secret",
        "What proves a report: its secret, a token with scope push, or push.trusted_networks.",
        choices=("secret", "bearer", "network"),
    )
    secret: str | None = option(None, "What all apps of this reporter know.", secret=True)
    subscribe: list[str] = option([], "Services that reported channels are subscribed to.")
    fields: ReporterFields = section(
        ReporterFields, "What the request calls each thing that is reported."
    )


@attrs.frozen
class PushSettings:
    """`[push]`"""

    token_exclusive: bool = option(
        False, "One device token serves one user only: the latest who registered it."
    )
    voip_root_keys: list[str] = option(
        ["wrtcsSessionInvitationNotification"],
        "Notifications that go to PushKit channels; iOS wants each to show a call.",
        check=_root_keys_problem,
    )
    alert_root_keys: list[str] = option(
        [],
        "Notifications beside the known ones that are shown to a person.",
        check=_root_keys_problem,
    )
    roots: dict[str, str] = option(
        {},
        "How notifications are pushed, by root key: alert, background or skip.",
        check=_roots_problem,
    )
    silent_content_types: list[str] = option(
        ["application/im-iscomposing+xml", "message/imdn+xml"],
        "Gateway: content types of messages that are pushed silently; type/* for all of a type.",
        check=_content_types_problem,
    )
    pass_verbs: list[str] = option(
        [],
        "Gateway: verbs beside the known ones, passed on as silent pushes.",
        check=_pass_verbs_problem,
    )
    trusted_networks: list[str] = option(
        ["127.0.0.0/8", "::1/128"],
        "Gateway: networks that need no token; unix for clients on a Unix socket. Everybody behind "
        "a proxy on this machine that adds no X-Forwarded-For or Forwarded is trusted, too.",
        check=_trusted_problem,
    )
    ack_deadline: float = option(
        4.0, "Gateway: seconds an answer waits for the provider.", minimum=0.1, maximum=20
    )
    max_waiting: int = option(
        2000,
        "Gateway: pushes that wait for the provider at a time; more are not waited for.",
        minimum=0,
    )
    rate_per_caller: float = option(
        0, "Gateway: pushes a second for each token or address, 0 for no limit.", minimum=0
    )
    lane_width: int = option(
        200, "Pushes under way at a time, for each app.", minimum=1, maximum=2000
    )
    tombstone: int = option(
        3600, "Seconds a removed token is answered 404 without asking the provider.", minimum=0
    )
    collect_unused_days: int = option(
        30, "Days after which a token is forgotten that nobody pushes to.", minimum=1
    )
    feedback_url: str | None = option(
        None, "Where it is POSTed what became of tokens, pushes and credentials."
    )
    keys: dict[str, PushKeySettings] = option({}, "Credentials of providers, by name.")
    apps: dict[str, PushAppSettings] = option({}, "Apps that may be pushed to, by their id.")
    reporters: dict[str, ReporterSettings] = option(
        {}, "Where apps report their device tokens: /push/report/<name>."
    )
