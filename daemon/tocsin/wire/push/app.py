"""The apps on phones that are pushed to, and how their notifications are written (push.md, A.7)."""

from collections.abc import Mapping

import attrs

from tocsin.wire.devicetoken import normal_apns, normal_fcm

VOIP = ".voip"


@attrs.frozen
class App:
    """One app, as the operator registered it; the options are those of `[push.apps.<id>]`.

    `key` names the credential of `[push.keys]`. `topic`, `environment` and `kind` are for APNs,
    `platform`, `target` and `package` for FCM. `call_ttl` is seconds. `unknown_outcomes` says per
    verb what an attempt of unknown outcome is taken for, `retry` or `fail`; under "" stands the
    rule for the others.
    """

    id: str
    provider: str
    key: str = ""
    kind: str = "alert"
    topic: str = ""
    environment: str = "production"
    token_encoding: str = "auto"  # noqa: S105 - the name of an encoding
    platform: str = "android"
    target: str = "token"
    package: str = ""
    ack: str = "provider"
    call_ttl: int = 45
    call_without_voip: str = "alert"
    unknown_outcomes: Mapping[str, str] = attrs.field(factory=dict)
    key_names: Mapping[str, str] = attrs.field(factory=dict)
    payload_key: str = ""

    @property
    def is_voip(self) -> bool:
        """Its tokens are PushKit's, for calls only (PU-35)."""
        return self.kind == "voip"

    @property
    def lane(self) -> str:
        """The lane of its channels, see `model.channel.Device.lane`."""
        return f"{self.provider}/{self.id}"

    def normalise(self, token: str) -> str:
        """The one spelling of a device token; ValueError if it is malformed (PU-22)."""
        normal = normal_apns if self.provider == "apns" else normal_fcm
        return normal(token, self.token_encoding)

    def fails_unknown(self, verb: str) -> bool:
        """Whether an attempt of unknown outcome is refused instead of repeated (PU-54)."""
        rules = self.unknown_outcomes
        return rules.get(verb, rules.get("", "retry")) == "fail"


@attrs.frozen
class PushRules:
    """What holds for the payloads of all apps: options of `[push]`.

    `roots` overrides how a root key is pushed: `alert`, `background` or `skip` (PU-38).
    """

    silent_content_types: tuple[str, ...] = (
        "application/im-iscomposing+xml",
        "message/imdn+xml",
    )
    voip_root_keys: frozenset[str] = frozenset({"wrtcsSessionInvitationNotification"})
    alert_root_keys: frozenset[str] = frozenset()
    roots: Mapping[str, str] = attrs.field(factory=dict)
