"""What is wrong with apps, credentials and reporters, before anything is pushed (PU-20)."""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping

import attrs

from tocsin.delivery.pushsettings import (
    PushAppSettings,
    PushKeySettings,
    PushSettings,
    ReporterSettings,
)
from tocsin.wire.endpoint import normal_host
from tocsin.wire.push import keys
from tocsin.wire.push.app import VOIP, App
from tocsin.wire.push.attributes import KEYS, SENDER
from tocsin.wire.push.roots import has_aps, is_reserved
from tocsin.wire.push.verbs import VERBS

ID_LIMIT = 256
OUTCOMES = ("retry", "fail")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TEN = re.compile(r"[A-Z0-9]{10}")
_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")
_PACKAGE = re.compile(r"(?:[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)?")
_ENDPOINT = re.compile(r"https://(?P<host>\[[^\]]+\]|[^:/?#@]+)(?::(?P<port>[0-9]{1,5}))?")
_OF_KEYS = {
    "apns": ("team_id", "key_id", "private_key"),
    "fcm": ("service_account", "project", "rate", "ramp"),
}
_OF_APPS = {
    "apns": ("kind", "topic", "environment", "call_without_voip"),
    "fcm": ("platform", "target", "package"),
}
_OTHER = {"apns": "fcm", "fcm": "apns"}
_NAMES = {"apns": "APNs", "fcm": "FCM"}
_NO_ENCODING = {"apns": "raw", "fcm": "hex"}

Problems = Iterator[str]


def check(settings: PushSettings) -> list[str]:
    """What is wrong, one line each with the option's path; reads the files of authorities.

    Never shows a secret. An RSA key takes 50 ms: not for the event loop.
    """
    parts: tuple[tuple[str, Mapping[str, object], Callable[..., Problems]], ...] = (
        ("keys", settings.keys, _key_problems),
        ("apps", settings.apps, _app_problems),
        ("reporters", settings.reporters, _reporter_problems),
    )
    return [
        f"push.{part}.{name}{problem}"
        for part, entries, judge in parts
        for name, entry in entries.items()
        for problem in judge(settings, name, entry)
    ]


def topic_of(app_id: str, app: PushAppSettings) -> str:
    """The topic of an APNs app; where none is set, its id."""
    return app_id if app.topic is None else app.topic


# -- credentials -------------------------------------------------------------------------------


def _key_problems(_settings: PushSettings, name: str, key: PushKeySettings) -> Problems:
    if not _NAME.fullmatch(name):
        yield ": a name is up to 64 letters, digits, dots, _ and -"
    yield from _foreign(key, key.provider, _OF_KEYS)
    yield from _apns_problems(key) if key.provider == "apns" else _fcm_problems(key)
    if key.endpoint and not _is_endpoint(key.endpoint):
        yield ".endpoint: must be https://host[:port]"
    if key.ca_file and (problem := _authorities_problem(key.ca_file)):
        yield f".ca_file: {problem}"


def _apns_problems(key: PushKeySettings) -> Problems:
    for name in ("team_id", "key_id"):
        if not _TEN.fullmatch(getattr(key, name) or ""):
            yield f".{name}: must be ten capital letters and digits"
    yield from _parsed("private_key", key.private_key, keys.apns_key)


def _fcm_problems(key: PushKeySettings) -> Problems:
    wrong = list(_parsed("service_account", key.service_account, keys.service_account))
    yield from wrong
    project = key.project or keys.project_of(key.service_account or "")
    if project and not _PROJECT.fullmatch(project):
        yield ".project: is no id of a project"
    elif not project and not wrong:
        yield ".project: must be set, the service account names none"


def _parsed(name: str, text: str | None, parse: Callable[[str], object]) -> Problems:
    if text is None:
        yield f".{name}: is missing"
        return
    try:
        parse(text)
    except ValueError as error:
        yield f".{name}: {error}"


def _is_endpoint(url: str) -> bool:
    match = _ENDPOINT.fullmatch(url)
    if match is None or not url.isascii() or not 0 < int(match["port"] or 443) < 65_536:
        return False
    try:
        normal_host(match["host"])
    except ValueError:
        return False
    return True


def _authorities_problem(path: str) -> str | None:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        return f"{path} holds no certificate in PEM form"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None


# -- apps --------------------------------------------------------------------------------------


def _app_problems(settings: PushSettings, id_: str, app: PushAppSettings) -> Problems:
    if not 1 <= len(id_) <= ID_LIMIT or "://" in id_ or not id_.isprintable():
        yield f": an id is up to {ID_LIMIT} characters, without :// and controls"
    yield from _credential_problems(settings, app)
    yield from _foreign(app, app.provider, _OF_APPS)
    if app.provider == "apns":
        yield from _topic_problems(id_, app)
    elif not _PACKAGE.fullmatch(app.package):
        yield ".package: is no name of a package"
    if app.token_encoding == _NO_ENCODING[app.provider]:
        yield f".token_encoding: {app.token_encoding} is not possible for {app.provider}"
    yield from _outcome_problems(settings, app)
    yield from _payload_problems(id_, app)


def _credential_problems(settings: PushSettings, app: PushAppSettings) -> Problems:
    key = settings.keys.get(app.key)
    if not app.key:
        yield ".key: is missing"
    elif key is None:
        yield f".key: there is no [push.keys.{app.key}]"
    elif key.provider != app.provider:
        yield f".key: {app.key} is a credential for {key.provider}, the app is for {app.provider}"


def _topic_problems(id_: str, app: PushAppSettings) -> Problems:
    """A PushKit app is known by its topic to Apple, and by its id to clients (CH-73)."""
    topic = topic_of(id_, app)
    if topic.endswith(VOIP) != (app.kind == "voip"):
        word = "has to" if app.kind == "voip" else "must not"
        yield f".topic: {word} end in {VOIP} where kind is {app.kind}"
    elif id_.endswith(VOIP) and app.kind != "voip":
        yield f".kind: has to be voip for an id that ends in {VOIP}"
    if not _TOPIC.fullmatch(topic):
        yield ".topic: must be letters, digits, dots, _ and -"


def _outcome_problems(settings: PushSettings, app: PushAppSettings) -> Problems:
    rules = app.unknown_outcome
    if isinstance(rules, str):
        if rules not in OUTCOMES:
            yield f".unknown_outcome: must be one of {', '.join(OUTCOMES)}, or a table by verb"
        return
    for verb, word in rules.items():
        if verb not in VERBS and verb not in settings.pass_verbs:
            yield f".unknown_outcome.{verb}: is no verb"
        elif word not in OUTCOMES:
            yield f".unknown_outcome.{verb}: must be one of {', '.join(OUTCOMES)}"


def _payload_problems(id_: str, app: PushAppSettings) -> Problems:
    """Names in the payload that are the provider's, or the same for two of ours."""
    aps = has_aps(App(id_, app.provider, platform=app.platform))
    for ours, name in app.key_names.items():
        if ours not in KEYS:
            yield f".key_names.{ours}: must be one of {', '.join(KEYS)}"
        elif not name or is_reserved(name, has_aps=aps):
            yield f'.key_names.{ours}: "{name}" is not possible for {app.provider}'
    standard = {key: key for key in KEYS} | ({} if aps else {"from": SENDER})
    if len({app.key_names.get(key, name) for key, name in standard.items()}) < len(KEYS):
        yield ".key_names: gives two of our keys the same name"
    if app.payload_key and is_reserved(app.payload_key, has_aps=aps):
        yield f'.payload_key: "{app.payload_key}" is not possible for {app.provider}'


# -- reporters ---------------------------------------------------------------------------------


def _reporter_problems(_settings: PushSettings, name: str, one: ReporterSettings) -> Problems:
    if not _NAME.fullmatch(name):
        yield ": a name is up to 64 letters, digits, dots, _ and -"
    if one.auth == "secret" and not one.secret:
        yield ".secret: is missing"
    elif one.auth != "secret" and one.secret is not None:
        yield f".secret: is not asked for where auth is {one.auth}"
    for field, wanted in attrs.asdict(one.fields).items():
        if not wanted:
            yield f".fields.{field}: must not be empty"


def _foreign(
    settings: PushAppSettings | PushKeySettings, provider: str, names: Mapping[str, tuple[str, ...]]
) -> Problems:
    """Options of the other provider, which would do nothing."""
    other = _OTHER[provider]
    defaults = attrs.fields_dict(type(settings))
    for name in names[other]:
        if getattr(settings, name) != defaults[name].default:
            yield f".{name}: is for {_NAMES[other]} only"
