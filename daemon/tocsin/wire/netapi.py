"""What clients ask of channel resources, in every dialect (channels.md, sections 3 to 5).

The members of channelData depend on the type, and one of them can only be judged by asking the
network. So `parse_channel` stops before them; `wire/channeldata` goes on, in the same order.
"""

from typing import Any

import attrs

from tocsin.model.channel import BY_LOWER_NAME, ChannelType
from tocsin.model.errors import invalid, not_one_of
from tocsin.wire.dialect import Dialect
from tocsin.wire.integers import integer

ROLES = ("client", "server")
NATIVE = "NativeChannel"
TEXT_LIMIT = 256


@attrs.frozen
class ChannelRequest:
    """A channel as a client asks for it; `data` is its channelData, not judged yet.

    `spelled` is the channelType as the request has it. `is_native`: an `OMAPush` channel that was
    asked for as NativeChannel (CH-33).
    """

    type: ChannelType
    spelled: str
    client_correlator: str | None
    application_tag: str | None
    lifetime: int | None
    check_role: str | None
    data: dict[str, Any] = attrs.field(repr=False)

    @property
    def is_native(self) -> bool:
        """Whether it was asked for as NativeChannel."""
        return is_native(self.spelled)

    @property
    def expires(self) -> bool:
        """Whether such a channel has a lifetime (CH-33, CH-40, CH-42)."""
        return self.type.is_polled or self.is_native


def is_native(spelled: str) -> bool:
    """Whether this spelling of a channelType is NativeChannel."""
    return spelled.lower() == NATIVE.lower()


def parse_channel(document: object, dialect: Dialect) -> ChannelRequest:
    """The channel a POST asks for, its channelData apart.

    Raises `RequestError` naming the first bad member in the order of section 4.
    """
    members = _envelope(document, "notificationChannel")
    kind, spelled = _type(members.get("channelType"), dialect)
    expires = kind.is_polled or is_native(spelled)
    correlator = optional_text(members, "clientCorrelator")
    if correlator is None and dialect.needs_correlator:
        raise invalid("clientCorrelator")
    return ChannelRequest(
        type=kind,
        spelled=spelled,
        client_correlator=correlator,
        application_tag=optional_text(members, "applicationTag"),
        lifetime=_lifetime(members) if expires and "channelLifetime" in members else None,
        check_role=(
            _role(members.get("x-connCheckRole")) if kind is ChannelType.WEBSOCKETS else None
        ),
        data=_data(members.get("channelData"), kind, dialect),
    )


def parse_lifetime(document: object) -> int:
    """The seconds a PUT asks for; `RequestError` names what is wrong with it."""
    return _lifetime(_envelope(document, "notificationChannelLifetime"))


def optional_text(
    members: dict[str, Any], name: str, *, parent: str = "", limit: int = TEXT_LIMIT
) -> str | None:
    """A string that is not empty and not too long, or None where the member is absent or null."""
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise invalid(parent + name)
    return value


def _envelope(document: object, name: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise invalid("body")
    members = document.get(name)
    if not isinstance(members, dict):
        raise invalid(name)
    return members


def _type(value: object, dialect: Dialect) -> tuple[ChannelType, str]:
    """The type and how it was spelled."""
    if value is None:
        raise invalid("channelType")
    if isinstance(value, str):
        if dialect.native_app_id is not None and is_native(value):
            return ChannelType.OMAPUSH, value
        kind = BY_LOWER_NAME.get(value.lower())
        if kind is not None:
            return kind, value
    valid = [*ChannelType, *([NATIVE] if dialect.native_app_id is not None else [])]
    raise not_one_of("channelType", valid)


def _lifetime(members: dict[str, Any]) -> int:
    """A positive integer, however large (CH-40); null is not one."""
    seconds = integer(members.get("channelLifetime"))
    if seconds is None or seconds <= 0:
        raise invalid("channelLifetime")
    return seconds


def _role(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in ROLES:
        raise not_one_of("x-connCheckRole", ROLES)
    return value


def _data(value: object, kind: ChannelType, dialect: Dialect) -> dict[str, Any]:
    """Where nothing in it is due it may be absent; where nothing in it counts, anything."""
    if isinstance(value, dict):
        return value
    is_due = not kind.is_polled
    is_ignored = kind is ChannelType.WEBSOCKETS and not dialect.echoes_extras
    if is_due or (value is not None and not is_ignored):
        raise invalid("channelData")
    return {}
