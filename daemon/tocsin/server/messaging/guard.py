"""Who may connect, and who may ask the REST resources (messaging.md, section 3).

    no token -> 401, twice -> 400, not good -> 401, nobody to ask about it -> 503,
    good, but for nobody who could be a subscriber -> 401, scope lacking or inactive -> 403

Failed attempts are counted by the HTTP server, which makes a 429 of one too many.
"""

from collections.abc import Hashable
from typing import Final

from tocsin.model.principal import Principal
from tocsin.server.auth import Authenticator
from tocsin.server.messaging.admitted import Admitted
from tocsin.server.sockjs.guard import token_key, wanted_token
from tocsin.wire.messaging.refusals import INVALID_TOKEN, NOT_ALLOWED
from tocsin.wire.request import Request

SCOPE: Final = "messaging"
CORRELATOR: Final = "correlator"


def is_allowed(principal: Principal, scope: str = SCOPE) -> bool:
    """Whether a good token lets its bearer in."""
    return principal.is_active and principal.may(scope)


def check_allowed(principal: Principal, scope: str) -> None:
    """Raise 403 where it does not."""
    if not is_allowed(principal, scope):
        raise NOT_ALLOWED.refused()


def check_subscriber(principal: Principal) -> None:
    """Raise 401 or 403 for a good token that speaks for no subscriber, or not here."""
    if not principal.subscriber:
        raise INVALID_TOKEN.refused()
    check_allowed(principal, SCOPE)


def correlator_of(request: Request) -> str | None:
    """The device that a client names (MS-50)."""
    return request.params.get(CORRELATOR) or None


class MessagingGuard:
    """The hook of the SockJS service. `tokens` may be replaced at any time."""

    def __init__(self, tokens: Authenticator) -> None:
        self.tokens = tokens

    def key(self, request: Request) -> Hashable:
        """See `Guard`; MS-8."""
        return token_key(request)

    async def authorise(self, request: Request) -> Admitted:
        """Who connects; raises RequestError as the table of section 3 says."""
        token = wanted_token(request)
        principal = await self.tokens.judge(token)
        check_subscriber(principal)
        return Admitted(
            principal, principal.subscriber, principal.domain, correlator_of(request), token
        )
