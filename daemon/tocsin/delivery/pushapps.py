"""The apps that may be pushed to, found by what callers know of them (push.md, A.7)."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Self

import attrs

from tocsin.delivery.pushcheck import check, topic_of
from tocsin.delivery.pushsettings import PushAppSettings, PushKeySettings, PushSettings
from tocsin.wire.push.app import VOIP, App, PushRules
from tocsin.wire.push.keys import project_of
from tocsin.wire.push.pn import PnTarget

__all__ = [
    "App",
    "AppRegistry",
    "PushAppSettings",
    "PushKeySettings",
    "PushSettings",
    "check",
    "project",
    "push_rules",
]

ANY_ENVIRONMENT = "auto"


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
        topic="" if one.provider == "fcm" else topic_of(id_, one),
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


def project(key: PushKeySettings) -> str:
    """The FCM project of a credential, the one it names or its service account's; "" for APNs."""
    return key.project or project_of(key.service_account or "")


class AppRegistry:
    """Finds apps by their exact id, or by what a phone says of itself.

    `projects` are the FCM projects by the name of their credential.
    """

    def __init__(
        self, apps: Mapping[str, PushAppSettings], projects: Mapping[str, str] | None = None
    ) -> None:
        self._apps = {id_: _app(id_, one) for id_, one in apps.items()}
        named = projects or {}
        first_wins = list(reversed(self._apps.values()))
        self._of_topics = {
            (app.topic, app.environment): app for app in first_wins if app.provider == "apns"
        }
        self._of_projects = {
            named[app.key]: app for app in first_wins if app.provider == "fcm" and app.key in named
        }
        self._find = lru_cache(4096)(self._look_up)

    @classmethod
    def of(cls, settings: PushSettings) -> Self:
        """The registered apps, with the projects of their credentials."""
        return cls(settings.apps, {name: project(key) for name, key in settings.keys.items()})

    def find(self, app_id: str, provider: str | None = None) -> App | None:
        """The app, if it is registered, with this provider where one is named (CH-32).

        `X.voip` is there as soon as `X` is a registered APNs app (PU-21).
        """
        app = self._find(app_id)
        return app if app is not None and provider in {None, app.provider} else None

    def find_pn(self, target: PnTarget) -> App | None:
        """The app of the parameters in a SIP URI (PU-27): of an FCM project, or of a topic.

        An app for the environment asked for comes before one for either.
        """
        if target.provider == "fcm":
            return self._of_projects.get(target.project)
        if target.provider != "apns":
            return None
        for environment in (target.environment, ANY_ENVIRONMENT):
            found = self._of_topic(target.topic, environment)
            if found is not None:
                return found
        return None

    def __iter__(self) -> Iterator[App]:
        """The registered ones."""
        return iter(self._apps.values())

    def _of_topic(self, topic: str, environment: str) -> App | None:
        named = self._of_topics.get((topic, environment))
        owner = self._of_topics.get((topic.removesuffix(VOIP), environment))
        if named is not None or owner is None:
            return named
        implicit = self.find(owner.id + VOIP)
        return implicit if implicit is not None and implicit.topic == topic else None

    def _look_up(self, app_id: str) -> App | None:
        return self._apps.get(app_id) or self._implicit(app_id)

    def _implicit(self, app_id: str) -> App | None:
        owner = self._apps.get(app_id.removesuffix(VOIP)) if app_id.endswith(VOIP) else None
        if owner is None or owner.provider != "apns" or owner.is_voip:
            return None
        return attrs.evolve(owner, id=app_id, kind="voip", topic=owner.topic + VOIP)
