"""What a phone says in its SIP contact about how to push to it (RFC 8599; push.md, A.9).

    pn-provider=apns;pn-param=ABCDE12345.com.x.remote&voip;pn-prid=00fa:remote&00fb:voip
    pn-provider=fcm;pn-param=project;pn-prid=token
    pn-type=apple;app-id=com.x.dev;pn-tok=00fa            as it was before the RFC

What is wrong is one of three kinds of ValueError; none of them shows a token.
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import attrs

from tocsin.wire.push.app import VOIP

APNS_ENVIRONMENTS: Final = {"apns": "production", "apns.dev": "sandbox"}
FCM_PROVIDERS: Final = frozenset({"fcm", "android", "firebase"})
WEBPUSH: Final = "webpush"
LEGACY_FCM_TYPES: Final = frozenset({"android", "firebase", "google"})
LEGACY_ENVIRONMENTS: Final = {".prod": "production", ".dev": "sandbox"}
REMOTE: Final = "remote"
KINDS: Final = {REMOTE: "alert", "voip": "voip"}
_TEAM = re.compile(r"(?P<team>[A-Za-z0-9]{10})\.(?P<bundle>.+)")
_BUNDLE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_PRINTABLE = re.compile(r"[!-~]{1,4096}")


class PnError(ValueError):
    """These parameters say nowhere to push to; `code` is a word for whoever has to answer."""

    code: ClassVar[str] = "pn_invalid"


class PnSyntaxError(PnError):
    """A parameter is missing or cannot be read."""

    code: ClassVar[str] = "pn_syntax"


class PnCountError(PnError):
    """There are not as many tokens as services."""

    code: ClassVar[str] = "pn_count"


class PnNotSupportedError(PnError):
    """Nobody here pushes through this provider: a SIP server answers 555 (RFC 8599, 8.1)."""

    code: ClassVar[str] = "push_not_supported"


@attrs.frozen
class PnTarget:
    """One token and the app it is of, as far as the parameters tell.

    For APNs `environment`, `team`, `topic` and `kind` (alert, voip) are set, for FCM `project`;
    for web push the token is the subscription's URL.
    """

    provider: str
    token: str = attrs.field(repr=False)
    environment: str = ""
    team: str = ""
    topic: str = ""
    kind: str = ""
    project: str = ""


def parse_pn(params: Mapping[str, str]) -> list[PnTarget]:
    """The one or two targets of a URI's parameters, percent-decoded, named in any case.

    Raises `PnSyntaxError`, `PnCountError` or `PnNotSupportedError`.
    """
    named = {name.lower(): value for name, value in params.items()}
    if "pn-provider" in named:
        return _standard(named)
    if "pn-type" in named:
        return _legacy(named)
    raise PnSyntaxError("neither pn-provider nor pn-type")


def pick(targets: Sequence[PnTarget], *, is_call: bool) -> PnTarget:
    """The target for a verb: of two, calls go to the PushKit token, the rest to the other."""
    wanted = "voip" if is_call else "alert"
    return next((target for target in targets if target.kind == wanted), targets[0])


def _standard(named: Mapping[str, str]) -> list[PnTarget]:
    provider = named["pn-provider"].lower()
    if provider in APNS_ENVIRONMENTS:
        match = _TEAM.fullmatch(_value(named, "pn-param"))
        if match is None:
            raise PnSyntaxError("pn-param does not begin with a team of ten characters and a dot")
        prid = _value(named, "pn-prid")
        return _apns(APNS_ENVIRONMENTS[provider], match["team"], match["bundle"], prid)
    if provider in FCM_PROVIDERS:
        project = _value(named, "pn-param")
        return [PnTarget("fcm", _value(named, "pn-prid"), project=project)]
    if provider == WEBPUSH:
        url = _value(named, "pn-prid")
        if not url.lower().startswith("https://"):
            raise PnSyntaxError("pn-prid is no https address")
        return [PnTarget(WEBPUSH, url)]
    raise PnNotSupportedError("another provider")


def _legacy(named: Mapping[str, str]) -> list[PnTarget]:
    kind = named["pn-type"].lower()
    if kind in LEGACY_FCM_TYPES:
        project = _value(named, "app-id")
        return [PnTarget("fcm", _value(named, "pn-tok"), project=project)]
    if kind != "apple":
        raise PnNotSupportedError("another type")
    bundle = _value(named, "app-id")
    environment = "production"
    for suffix, meant in LEGACY_ENVIRONMENTS.items():
        if bundle.endswith(suffix):
            bundle, environment = bundle.removesuffix(suffix), meant
            break
    return _apns(environment, "", bundle, _value(named, "pn-tok"))


def _apns(environment: str, team: str, bundle: str, prid: str) -> list[PnTarget]:
    bundle, services = _services(bundle)
    tokens = _tokens(prid, services)
    return [
        PnTarget(
            "apns",
            tokens[service],
            environment=environment,
            team=team,
            topic=bundle + VOIP if service == "voip" else bundle,
            kind=KINDS[service],
        )
        for service in services
    ]


def _services(text: str) -> tuple[str, list[str]]:
    """A bundle id and the services named behind it; alerts where none is."""
    bundle, _, last = text.rpartition(".")
    services = last.split("&")
    if not set(services) <= KINDS.keys():
        bundle, services = text, [REMOTE]
    if not _BUNDLE.fullmatch(bundle) or len(set(services)) < len(services):
        raise PnSyntaxError("no bundle id, or services that are not remote, voip or both")
    return bundle, services


def _tokens(prid: str, services: Sequence[str]) -> dict[str, str]:
    """The token of each service; one alone needs no name."""
    parts = [part.partition(":") for part in prid.split("&")]
    if len(parts) != len(services):
        raise PnCountError("there are not as many tokens as services")
    if len(parts) == 1 and not parts[0][1]:
        parts = [(prid, ":", services[0])]
    tokens = {service: token for token, _, service in parts}
    if tokens.keys() != set(services) or not all(tokens.values()):
        raise PnSyntaxError("tokens that are empty, or not named as the services are")
    return tokens


def _value(named: Mapping[str, str], name: str) -> str:
    value = named.get(name, "")
    if not _PRINTABLE.fullmatch(value):
        raise PnSyntaxError(f"{name} is missing or cannot be read")
    return value
