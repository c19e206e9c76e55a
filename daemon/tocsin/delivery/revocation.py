"""What was revoked: one entry, and how it is stored."""

import enum
from typing import Self

import attrs
import orjson

from tocsin.delivery.bearers import Kind


class By(enum.StrEnum):
    """What was named to revoke it."""

    TOKEN = "token"  # noqa: S105 - a word
    JTI = "jti"
    USER = "user"
    CLIENT = "client"
    SUBSCRIBER = "subscriber"

    @property
    def kind(self) -> Kind:
        """A token is named by its digest or by its id; one that has no id, by either."""
        return KINDS[self]


KINDS = {
    By.TOKEN: Kind.TOKEN,
    By.JTI: Kind.TOKEN,
    By.USER: Kind.USER,
    By.CLIENT: Kind.CLIENT,
    By.SUBSCRIBER: Kind.SUBSCRIBER,
}


def in_domain(domain: str, name: str) -> str:
    """What something is called beyond its domain; in neither part there is a tab."""
    return f"{domain}\t{name}"


@attrs.frozen
class Revocation:
    """One that is in force; `name` is a digest, a token id, a user or a client, or a subscriber,
    digest or token id `in_domain`. Times are epoch milliseconds."""

    by: By
    name: str
    at: int
    until: int

    @property
    def key(self) -> str:
        """What it is stored under."""
        return f"{self.by.kind.value} {self.name}"

    @property
    def shown_name(self) -> str:
        """Its name for people, the domain in front of it."""
        return self.name.replace("\t", " ")

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return orjson.dumps([self.by, self.name, self.at, self.until])

    @classmethod
    def from_bytes(cls, text: bytes) -> Self:
        """As it was stored; ValueError if it was not."""
        match orjson.loads(text):
            case [str(by), str(name), int(at), int(until)]:
                return cls(By(by), name, at, until)
        raise ValueError("not what a revocation is stored as")
