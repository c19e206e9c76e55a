"""Who talks to whom: Subscribers, Rooms and their Members (messaging.md, 1 and 7).

There is one object of each in memory, so what is decided on it is seen by everybody at once.
Times are epoch milliseconds, attributes the compact JSON text of an object.
"""

import attrs

Conversation = tuple[int, int]
"""What owns a history: the keys of two Subscribers, the lower one first, or of a Room."""

NO_ATTRIBUTES = b"{}"


@attrs.define(eq=False)
class Subscriber:
    """A person of a domain (MS-2); `user` is the user of the core that he is (MS-3).

    `key` is given when the object is made, whether it is stored yet or not. `is_known`: he has
    connected, was in a Room, or somebody may reach him otherwise (MS-26). `rooms` are those he
    is a member of, by key; None while nobody needs them.
    """

    key: int
    domain: str
    id: str
    user: str
    is_known: bool = False
    is_stored: bool = False
    rooms: "dict[int, Room] | None" = None


@attrs.define(eq=False)
class Member:
    """One Subscriber in one Room. `joined_at` orders members by standing; he sees what was sent
    after `joined_after`, a message-id, "" for all there is (MS-28)."""

    subscriber: Subscriber
    administrator: bool
    joined_at: int
    joined_after: str = ""


@attrs.define(eq=False)
class Invitation:
    """An open one, until `until` (MS-33); `sender` is the key of the Subscriber who invited."""

    sender: int
    until: int


@attrs.define(eq=False)
class Room:
    """A conversation of many. `members`, in order of their standing, and `invited` are by the
    Subscriber's key. A Room that has been deleted is `is_over`; what `is_doubtful` could not be
    stored as it is here, and must be read anew before anything is decided on it.
    """

    key: int
    id: str
    domain: str
    name: str
    created_at: int
    invite_token: str | None = attrs.field(default=None, repr=False)
    attributes: bytes = attrs.field(default=NO_ATTRIBUTES, repr=False)
    members: dict[int, Member] = attrs.field(factory=dict, repr=False)
    invited: dict[int, Invitation] = attrs.field(factory=dict, repr=False)
    is_over: bool = False
    is_doubtful: bool = False

    @property
    def conversation(self) -> Conversation:
        """What its history is kept under."""
        return (-self.key, 0)


def between(one: Subscriber, other: Subscriber) -> Conversation:
    """The conversation of two."""
    return (min(one.key, other.key), max(one.key, other.key))
