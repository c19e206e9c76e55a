"""What an operator may say about pushing, and the apps found by it (push.md, A.7)."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import attrs

from tocsin.model.option import option
from tocsin.wire.devicetoken import ENCODINGS, PROVIDERS
from tocsin.wire.notification import ROOT_KEY
from tocsin.wire.push.app import VOIP, App, PushRules

__all__ = ["App", "AppRegistry", "PushAppSettings", "PushKeySettings", "PushSettings", "check"]


def _root_keys_problem(keys: list[str]) -> str | None:
    wrong = next((key for key in keys if not ROOT_KEY.fullmatch(key)), None)
    return None if wrong is None else f'"{wrong}" is no root key of a notification'


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
    key: str = option("", "The credential, by its name in [push.keys].")
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
        {}, "How notifications are pushed, by root key: alert, background or skip."
    )
    silent_content_types: list[str] = option(
        ["application/im-iscomposing+xml", "message/imdn+xml"],
        "Gateway: content types of messages that are pushed silently; type/* for all of a type.",
    )
    pass_verbs: list[str] = option(
        [], "Gateway: verbs beside the known ones, passed on as silent pushes."
    )
    trusted_networks: list[str] = option(
        ["127.0.0.0/8", "::1/128"], "Gateway: networks that need no token."
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


def check(settings: PushSettings) -> list[str]:
    """What is wrong with the apps, one line each, with the option's path (PU-20)."""
    return [
        f"push.apps.{app_id}.{problem}"
        for app_id, app in settings.apps.items()
        for problem in _problems(app_id, app)
    ]


def _problems(app_id: str, app: PushAppSettings) -> list[str]:
    if app.provider == "fcm":
        problems = [
            f"{name}: is for APNs only"
            for name, is_set in (("kind", app.kind == "voip"), ("topic", app.topic is not None))
            if is_set
        ]
        refused = "hex"
    else:
        has_voip_topic = _topic(app_id, app).endswith(VOIP)
        problems = []
        if has_voip_topic != (app.kind == "voip"):
            word = "has to" if app.kind == "voip" else "must not"
            problems.append(f"topic: {word} end in {VOIP} where kind is {app.kind}")
        refused = "raw"
    if app.token_encoding == refused:
        problems.append(f"token_encoding: {refused} is not possible for {app.provider}")
    return problems


def _topic(app_id: str, app: PushAppSettings) -> str:
    return app_id if app.topic is None else app.topic


def push_rules(settings: PushSettings) -> PushRules:
    """What holds for the payloads of all apps."""
    return PushRules(
        silent_content_types=tuple(settings.silent_content_types),
        voip_root_keys=frozenset(settings.voip_root_keys),
        alert_root_keys=frozenset(settings.alert_root_keys),
        roots=dict(settings.roots),
    )


def _app(id_: str, one: PushAppSettings) -> App:
    unknown = one.unknown_outcome
    return App(
        id_,
        one.provider,
        key=one.key,
        kind=one.kind,
        topic="" if one.provider == "fcm" else _topic(id_, one),
        environment=one.environment,
        token_encoding=one.token_encoding,
        platform=one.platform,
        target=one.target,
        package=one.package,
        ack=one.ack,
        call_ttl=one.call_ttl,
        call_without_voip=one.call_without_voip,
        unknown_outcomes={"": unknown} if isinstance(unknown, str) else dict(unknown),
        key_names=dict(one.key_names),
        payload_key=one.payload_key,
    )


class AppRegistry:
    """Finds apps by their exact id."""

    def __init__(self, apps: Mapping[str, PushAppSettings]) -> None:
        self._apps = {id_: _app(id_, one) for id_, one in apps.items()}
        self._find = lru_cache(4096)(self._look_up)

    def find(self, app_id: str, provider: str | None = None) -> App | None:
        """The app, if it is registered, with this provider where one is named (CH-32).

        `X.voip` is there as soon as `X` is a registered APNs app (PU-21).
        """
        app = self._find(app_id)
        return app if app is not None and provider in {None, app.provider} else None

    def __iter__(self) -> Iterator[App]:
        """The registered ones."""
        return iter(self._apps.values())

    def _look_up(self, app_id: str) -> App | None:
        return self._apps.get(app_id) or self._implicit(app_id)

    def _implicit(self, app_id: str) -> App | None:
        owner = self._apps.get(app_id.removesuffix(VOIP)) if app_id.endswith(VOIP) else None
        if owner is None or owner.provider != "apns":
            return None
        return attrs.evolve(owner, id=app_id, kind="voip", topic=owner.topic + VOIP)
