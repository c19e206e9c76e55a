"""The apps on phones that may be pushed to, as the operator registered them (push.md, A.7)."""

from collections.abc import Mapping

import attrs

from tocsin.model.option import option
from tocsin.wire.devicetoken import ENCODINGS, PROVIDERS, normal_apns, normal_fcm
from tocsin.wire.notification import ROOT_KEY

VOIP = ".voip"


def _root_keys_problem(keys: list[str]) -> str | None:
    wrong = next((key for key in keys if not ROOT_KEY.fullmatch(key)), None)
    return None if wrong is None else f'"{wrong}" is no root key of a notification'


@attrs.frozen
class PushAppSettings:
    """`[push.apps.<id>]`"""

    provider: str = option(attrs.NOTHING, "Who delivers to this app.", choices=PROVIDERS)
    kind: str = option(
        "alert",
        "APNs: voip for the PushKit tokens of an app, which are for calls only.",
        choices=("alert", "voip"),
    )
    topic: str | None = option(None, "APNs: the topic; not set, it is the app's id.")
    token_encoding: str = option(
        "auto", "The form device tokens come in; raw is for FCM only.", choices=ENCODINGS
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


@attrs.frozen
class App:
    """One app: what its tokens look like and, for APNs, which topic it listens to."""

    id: str
    provider: str
    kind: str
    topic: str
    token_encoding: str

    def normalise(self, token: str) -> str:
        """The one spelling of a device token; ValueError if it is malformed (PU-22)."""
        normal = normal_apns if self.provider == "apns" else normal_fcm
        return normal(token, self.token_encoding)


class AppRegistry:
    """Finds apps by their exact id."""

    def __init__(self, apps: Mapping[str, PushAppSettings]) -> None:
        self._apps = {
            id_: App(id_, one.provider, one.kind, _topic(id_, one), one.token_encoding)
            for id_, one in apps.items()
        }

    def find(self, app_id: str, provider: str) -> App | None:
        """The app, if it is registered with this provider (CH-32).

        `X.voip` is there as soon as `X` is a registered APNs app (PU-21).
        """
        app = self._apps.get(app_id) or self._implicit(app_id)
        return app if app is not None and app.provider == provider else None

    def _implicit(self, app_id: str) -> App | None:
        owner = self._apps.get(app_id.removesuffix(VOIP)) if app_id.endswith(VOIP) else None
        if owner is None or owner.provider != "apns":
            return None
        return attrs.evolve(owner, id=app_id, kind="voip", topic=owner.topic + VOIP)
