"""Tokens that an operator ends (messaging.md, MS-12 and MS-66)."""

from collections.abc import Mapping

import structlog

from tocsin.delivery.revocations import By, Revocations
from tocsin.server.auth import Authenticator
from tocsin.server.operatortokens import shown
from tocsin.wire.jwt import InvalidTokenError, TokenName
from tocsin.wire.messaging import rest
from tocsin.wire.messaging.refusals import ErrorCode, MessageError, RestError

log = structlog.get_logger()


class Revoker:
    """Revokes for operators, each in his domain. `tokens` knows what a token is called."""

    def __init__(self, revocations: Revocations, tokens: Authenticator) -> None:
        self._revocations = revocations
        self._tokens = tokens

    async def revoke(
        self, wanted: rest.Revocation, own: str | None, params: Mapping[str, str]
    ) -> None:
        """Void what is named, everywhere and at once: in the operator's `own` domain or, where he
        has none, in that of the query. A token needs no domain; without one, it is any that is
        called so.

        The token itself is looked at, not verified: it may name another one's id, so it is void
        only in that domain, too. Raises RestError, 503 and StoreError.
        """
        domain = None if _needs_none(wanted, own, params) else rest.domain_of(params, own)
        match wanted:
            case rest.TokenRevocation():
                by, given, name = By.TOKEN, wanted.token, self._name(wanted.token)
            case rest.JtiRevocation():
                by, given, name = By.JTI, wanted.jti, TokenName(wanted.jti, None)
            case rest.SubscriberRevocation():
                by, given = By.SUBSCRIBER, wanted.subscriber_id
                name = TokenName(given, None)
        closed = await self._revocations.revoke(
            by, name.token_id, domain=domain, expires_at=name.expires_at
        )
        log.info("token.revoked", by=by.value, closed=closed, domain=domain, **shown(by, given))

    def _name(self, token: str) -> TokenName:
        try:
            return self._tokens.named(token)
        except InvalidTokenError:
            raise RestError(
                MessageError(ErrorCode.BAD_REQUEST, "token: can be none of ours")
            ) from None


def _needs_none(wanted: rest.Revocation, own: str | None, params: Mapping[str, str]) -> bool:
    is_token = not isinstance(wanted, rest.SubscriberRevocation)
    return is_token and own is None and "domain" not in params
