"""Services the operator declares beside the standard ones (channels.md, CH-97)."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import attrs

from tocsin.model.channel import BY_LOWER_NAME, ChannelType
from tocsin.model.option import option
from tocsin.model.services import SERVICES, STANDARD, WEEK, Declared, Services
from tocsin.wire.notification import MOST_SECONDS, PRIORITIES, RESERVED, ROOT_KEY
from tocsin.wire.subscriptions import KINDS, PLACEHOLDER, Kind

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
CHANNEL_PATH = "/notificationchannel/v1/{user}/channels"
ENVELOPE = "subscription"


def _types_problem(names: list[str]) -> str | None:
    wrong = [name for name in names if name.lower() not in BY_LOWER_NAME]
    if wrong or not names:
        return f"must be some of {', '.join(ChannelType)}"
    return None


def _root_keys_problem(keys: list[str]) -> str | None:
    for key in keys:
        if not ROOT_KEY.fullmatch(key) or key in RESERVED:
            return f'"{key}" cannot be the root key of a notification'
        if (owner := STANDARD.of_root_key(key)) is not None:
            return f'"{key}" belongs to {owner}'
    return None


def _path_problem(path: str) -> str | None:
    first, *segments = path.split("/")
    rest = [one for one in segments if one != "{user}"]
    if first or len(segments) - len(rest) != 1 or not all(map(SEGMENT.fullmatch, rest)):
        return "must begin with /, hold {user} once as a segment, and else plain segments"
    return None


def _envelope_problem(name: str) -> str | None:
    return None if ROOT_KEY.fullmatch(name) else "must be a letter, then letters, digits, _ and -"


@attrs.frozen
class ServiceSettings:
    """`[services.<name>]`"""

    path: str | None = option(
        None,
        "Where its subscriptions are, behind netapi.prefix, with {user} for the user; not set, "
        "its name comes first, then /v1/{user}/subscriptions.",
        check=_path_problem,
    )
    envelope: str = option(
        ENVELOPE, "The name around a subscription in JSON.", check=_envelope_problem
    )
    channel_types: list[str] = option(
        [kind.value for kind in ChannelType], "What may carry it.", check=_types_problem
    )
    root_keys: list[str] = option(
        [], "Root keys of its notifications, to tell it by.", check=_root_keys_problem
    )
    priority: str = option("normal", "Of its notifications.", choices=tuple(PRIORITIES))
    expires_in: int = option(
        WEEK, "Seconds its notifications live.", minimum=1, maximum=MOST_SECONDS
    )

    @property
    def declared(self) -> Declared:
        """What the model knows of it."""
        return Declared(
            frozenset(BY_LOWER_NAME[name.lower()] for name in self.channel_types),
            frozenset(self.root_keys),
            PRIORITIES[self.priority],
            self.expires_in,
        )

    def kind(self, name: str) -> Kind:
        """Its subscription resource."""
        return Kind(name, self.path or f"/{name}/v1/{{user}}/subscriptions", self.envelope)


def services_problem(declared: Mapping[str, ServiceSettings]) -> str | None:
    """What is wrong with the names, root keys and paths of all of them together, or None."""
    problems = [*_bad_names(declared), *_shared_root_keys(declared), *_shared_paths(declared)]
    return "; ".join(problems) or None


def service_registry(declared: Mapping[str, ServiceSettings]) -> Services:
    """The standard services and the declared ones."""
    return Services({name: one.declared for name, one in declared.items()})


def subscription_kinds(declared: Mapping[str, ServiceSettings]) -> tuple[Kind, ...]:
    """Every subscription resource there is."""
    return (*KINDS, *(one.kind(name) for name, one in declared.items()))


def _bad_names(declared: Iterable[str]) -> Iterator[str]:
    for name in declared:
        if name in SERVICES:
            yield f"{name} is a standard service"
        elif not NAME.fullmatch(name):
            yield f'"{name}" must be a small letter, then up to 31 of a-z, 0-9, _ and -'


def _shared_root_keys(declared: Mapping[str, ServiceSettings]) -> Iterator[str]:
    uses = Counter(key for one in declared.values() for key in set(one.root_keys))
    yield from (f'root key "{key}" belongs to {n} services' for key, n in uses.items() if n > 1)


def _shared_paths(declared: Mapping[str, ServiceSettings]) -> Iterator[str]:
    """Routes that would be the same, whatever their placeholders are called."""
    taken = {shape for path in (CHANNEL_PATH, *(k.path for k in KINDS)) for shape in _shapes(path)}
    for name, one in declared.items():
        shapes = _shapes(one.kind(name).path)
        if taken & shapes:
            yield f"the path of {name} is taken"
        taken |= shapes


def _shapes(path: str) -> set[str]:
    collection = PLACEHOLDER.sub("{}", path)
    return {collection, f"{collection}/{{}}"}
