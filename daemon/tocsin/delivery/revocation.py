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

    @property
    def kind(self) -> Kind:
        """A token is named by its digest or by its id; one that has no id, by either."""
        return KINDS[self]


KINDS = {By.TOKEN: Kind.TOKEN, By.JTI: Kind.TOKEN, By.USER: Kind.USER, By.CLIENT: Kind.CLIENT}


@attrs.frozen
class Revocation:
    """One that is in force; `name` is a digest, a token id, a user or a client. Times are epoch
    milliseconds."""

    by: By
    name: str
    at: int
    until: int

    @property
    def key(self) -> str:
        """What it is stored under."""
        return f"{self.by.kind.value} {self.name}"

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
