"""The dialects of the REST API: one resource, several forms (channels.md, section 1).

All dialects speak to the same channels. The path of a request says which one its answer is
written in (CH-1), so each face that answers with URLs is made once for each dialect.
"""

from urllib.parse import quote

import attrs

UNRESERVED_IN_PATH = "!$&'()*+,;=:@"


@attrs.frozen
class Dialect:
    """What sets one dialect apart.

    `prefix` stands before every path, `base` before every path in a body or in `Location`: ""
    makes relative URLs, `https://host` absolute ones. `created` is the status of a POST that made
    something. `callback_is_id`: callbackURL is the bare channel id (CH-7).
    `keeps_spelling`: a channelType is answered as the client spelled it (CH-30).
    `needs_correlator`: a channel without clientCorrelator is refused. `echoes_extras`: members of
    channelData that mean nothing to us are echoed (CH-33). `native_app_id`: the app a
    NativeChannel is for; None, and there are none.
    """

    name: str
    prefix: str
    base: str = ""
    created: int = 201
    callback_is_id: bool = False
    keeps_spelling: bool = True
    needs_correlator: bool = False
    echoes_extras: bool = True
    native_app_id: str | None = None

    @property
    def channels_pattern(self) -> str:
        """The route of the collection of channels."""
        return f"{self.prefix}/notificationchannel/v1/{{user}}/channels"

    @property
    def socket_base(self) -> str:
        """What stands before the path of a socket: `ws` for `http`, `wss` for `https`."""
        return self.base.replace("http", "ws", 1)

    def channels_path(self, user: str) -> str:
        """The path of a user's channels, without the base."""
        return self.channels_pattern.replace("{user}", escaped(user))

    def channels_url(self, user: str) -> str:
        """Where a user's channels are."""
        return self.base + self.channels_path(user)

    def channel_url(self, user: str, channel_id: str) -> str:
        """A channel's resourceURL."""
        return f"{self.channels_url(user)}/{channel_id}"

    def socket_url(self, user: str, channel_id: str) -> str:
        """Where a channel's socket is opened."""
        return f"{self.socket_base}{self.channels_path(user)}/{channel_id}/websocket"


def netapi(prefix: str) -> Dialect:
    """The contract of deployed clients: relative URLs, one spelling, the bare id as callback."""
    return Dialect(
        "netapi",
        prefix,
        callback_is_id=True,
        keeps_spelling=False,
        needs_correlator=True,
        echoes_extras=False,
    )


def oma(public_base_url: str, *, native_app_id: str | None = None) -> Dialect:
    """The strict dialect: absolute URLs below `public_base_url`, paths without a prefix."""
    return Dialect(
        "oma", prefix="", base=public_base_url.removesuffix("/"), native_app_id=native_app_id
    )


def escaped(segment: str) -> str:
    """A path segment; `+` and `@` stand for themselves (CH-3)."""
    return quote(segment, safe=UNRESERVED_IN_PATH)
