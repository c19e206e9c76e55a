"""One server message for many receivers: encoded once, completed for each (messaging.md, 6).

What differs among receivers stands at the front, behind `type`: `reply-to`, which belongs to the
request, and `cursor`, which belongs to the receiver's Log. All the rest is the same text for
everybody and for every replay.
"""

from collections.abc import Mapping

import attrs
import orjson


@attrs.frozen
class Rendered:
    """`members` is the JSON text of the other members, without the braces, never empty."""

    type: str
    members: bytes = attrs.field(repr=False)

    def text(self, *, reply_to: str | None = None, cursor: str | None = None) -> bytes:
        """The message as one receiver gets it. `cursor` as `messaging.cursor` makes it."""
        return b'{"type":"%b",%b%b%b}' % (
            self.type.encode(),
            b"" if reply_to is None else b'"reply-to":%b,' % orjson.dumps(reply_to),
            _cursor(cursor),
            self.members,
        )

    def bare(self, *, cursor: str | None = None) -> bytes:
        """The object without `type` and `reply-to`, as it stands inside of others (section 11)."""
        return b"{%b%b}" % (_cursor(cursor), self.members)


def rendered(type_: str, members: Mapping[str, object]) -> Rendered:
    """A message of these members; those that are None are absent. Keys are the wire's names."""
    given = {name: value for name, value in members.items() if value is not None}
    return Rendered(type_, orjson.dumps(given)[1:-1])


def _cursor(cursor: str | None) -> bytes:
    return b"" if cursor is None else b'"cursor":"%b",' % cursor.encode()
