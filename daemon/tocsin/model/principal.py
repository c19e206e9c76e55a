"""Who is asking: what a verified token says (channels.md, CH-12)."""

import attrs

from tocsin.model.gatewayuser import is_reserved

SCOPES = ("channels", "publish", "push", "messaging", "admin")


@attrs.frozen
class Principal:
    """A verified token's user, scopes and producer.

    `token_id` names the token in rate limits and revocations and is safe to log; `expires_at`
    is epoch seconds. `project` is the one the token may act for (CH-96). `digest` is a hash of the
    token, by which it is known whatever it calls itself; `issued_at` is epoch seconds, None if it
    does not say.

    In messaging it speaks for `subscriber` of `domain`; either is "" where the token names none
    that could be one. `names_domain`: it says itself which domain is its own. `is_active` is False
    of a subscriber whom the token's issuer has shut out, though the token is good.
    """

    user: str
    scopes: frozenset[str]
    producer: str
    subject: str
    token_id: str
    expires_at: float
    project: str | None = None
    digest: str = ""
    issued_at: float | None = None
    subscriber: str = ""
    domain: str = ""
    names_domain: bool = False
    is_active: bool = True

    def may(self, scope: str) -> bool:
        """Whether the token carries this scope; `admin` covers `channels`."""
        return scope in self.scopes or (scope == "channels" and "admin" in self.scopes)

    def is_user(self, user: str) -> bool:
        """Whether this token may act for `user` on the channel faces (CH-12); for those of the
        gateway nobody may (PU-23)."""
        return (user == self.user or "admin" in self.scopes) and not is_reserved(user)
