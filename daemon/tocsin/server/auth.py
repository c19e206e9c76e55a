"""Who is asking: from a request's token to a verified `Principal` (channels.md section 2).

    token in the cache                          -> Principal, without waiting, about 1 us
    else wire/jwt verifies it with the keys at hand
        names a key that is not at hand         -> the keys are refreshed, once more; 503 if
                                                   that cannot be done
    or its issuer is asked                      -> 503 if nobody answers
        valid, expired, invalid, revoked        -> Principal (cached), 401, 401, 401

Scopes, users and what they may touch are checked by those who know the route.
"""

import time
from collections.abc import Callable

import structlog
import trio

from tocsin.delivery.revocations import Revocations
from tocsin.model import errors
from tocsin.model.errors import StartupError
from tocsin.model.principal import Principal
from tocsin.ops.metrics import Metrics
from tocsin.server.authsettings import AuthSettings, check
from tocsin.server.introspection import Introspector
from tocsin.server.issuer import Issuer
from tocsin.server.jwks import FixedKeys, KeySource, RemoteKeys, read_key_file
from tocsin.server.limits import FailedAuthentications
from tocsin.server.tokencache import TokenCache
from tocsin.wire.claims import SubscriberClaims
from tocsin.wire.introspection import confirmed, described, named_opaque
from tocsin.wire.jwk import KeySet, shared_secret
from tocsin.wire.jwt import (
    ExpiredTokenError,
    InvalidTokenError,
    Rules,
    TokenError,
    TokenName,
    UnknownKeyError,
    named,
    verify,
)
from tocsin.wire.request import are_repeated

__all__ = ["AuthSettings", "Authenticator", "builtin_issuer", "check", "key_source"]

NO_KEYS_RETRY = 5

log = structlog.get_logger(__name__)


def key_source(settings: AuthSettings, metrics: Metrics | None = None) -> FixedKeys | RemoteKeys:
    """Where these settings say that keys come from; a `RemoteKeys` wants its `run` be run, and
    counts what it fetches.

    Reads `auth.jwks_file`. `StartupError` if that, or anything `check` knows, is wrong.
    """
    if problems := check(settings):
        raise StartupError("; ".join(problems))
    secret = shared_secret(settings.shared_secret) if settings.shared_secret else None
    if settings.jwks_url:
        return RemoteKeys(
            settings.jwks_url,
            metrics=metrics or Metrics(),
            secret=secret,
            refresh_every=settings.jwks_refresh,
        )
    public = read_key_file(settings.jwks_file) if settings.jwks_file else ()
    return FixedKeys(KeySet(secret, public))


def builtin_issuer(
    settings: AuthSettings,
    *,
    addresses: FailedAuthentications | None = None,
    now: Callable[[], float] = time.time,
) -> Issuer:
    """The token endpoint of checked settings with `auth.builtin.enabled`."""
    claims = {"iss": settings.issuer, "aud": settings.audience}
    return Issuer(
        settings.builtin,
        shared_secret(settings.shared_secret or ""),
        claims={name: value for name, value in claims.items() if value is not None},
        addresses=addresses,
        now=now,
    )


class Authenticator:
    """Judges tokens; `now` is the wall clock in epoch seconds.

    What is revoked is shared by all there are: whoever asks next is refused. `introspector` is
    there where the settings have an address to ask. `claims` are those that say who somebody is in
    messaging; with `asks_again` signed tokens are asked about, whatever the settings say (MS-7).
    """

    def __init__(
        self,
        settings: AuthSettings,
        keys: KeySource,
        *,
        revocations: Revocations,
        introspector: Introspector | None = None,
        claims: SubscriberClaims | None = None,
        asks_again: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        if problems := check(settings):
            raise StartupError("; ".join(problems))
        if asks_again and introspector is None:
            raise StartupError("messaging.introspect_jwt: needs auth.introspection.url")
        self._keys = keys
        self._has_keys = settings.has_keys
        self._asks_again = asks_again or settings.introspection.introspect_jwt
        self._asked_cache = settings.introspection.cache
        self._introspector = introspector
        self._revocations = revocations
        self._now = now
        self._rules = Rules(
            issuer=settings.issuer,
            audience=settings.audience,
            user_claim=settings.user_claim,
            project_claim=settings.project_claim,
            default_scopes=frozenset(settings.default_scopes),
            messaging=claims or SubscriberClaims(),
        )
        self._cache = TokenCache(settings.cache_size, settings.cache_seconds)

    async def authenticate(
        self, *, authorization: str | None, query_token: str | None, grace: float = 0
    ) -> Principal:
        """The principal of a request's token, else a `RequestError` of CH-13 or a 503: `no_keys`,
        or `introspection` where nobody could be asked.

        `query_token` is the `access_token` of the query, for routes that take it there, else
        None. With `grace`, a signed token that expired no longer ago than so many seconds passes
        too: see `expired`. Waits only when a token's key is not at hand, or to ask about it; safe
        to cancel.
        """
        return await self.judge(_presented(authorization, query_token), grace=grace)

    async def judge(self, token: str, *, grace: float = 0) -> Principal:
        """The same for a token that was taken from the request, "" being a bad one."""
        try:
            return self.cached(token) or await self._verified(token, grace)
        except TokenError as error:
            log.debug("token.refused", reason=str(error))
            raise errors.unauthorized(error.code) from None

    async def judge_again(self, token: str) -> Principal:
        """The same, by what is true now, whatever was accepted lately (MS-11)."""
        try:
            return await self._verified(token, 0)
        except TokenError as error:
            self._cache.drop(token)
            raise errors.unauthorized(error.code) from None

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was accepted lately, and was not revoked since."""
        self._cache.judge_by(self._keys.keys)
        principal = self._cache.get(token, self._now())
        return None if principal is None or self._revocations.covers(principal) else principal

    def named(self, token: str) -> TokenName:
        """What a token is revoked by; `InvalidTokenError` for what can be no token of ours.
        Nothing of it is verified."""
        try:
            return named(token)
        except InvalidTokenError:
            if self._introspector is None:
                raise
            return named_opaque(token)

    def is_introspected(self, token: str) -> bool:
        """Whether a token's issuer is asked about it, so that it can change its mind."""
        return self._introspector is not None and (self._asks_again or self._is_opaque(token))

    def expired(self, principal: Principal) -> bool:
        """Whether only `grace` let this principal pass; CH-61 wants its `sub` compared then."""
        return self.seconds_left(principal) <= 0

    def seconds_left(self, principal: Principal) -> float:
        """Until a token is over, leeway included."""
        return principal.expires_at + self._rules.leeway - self._now()

    async def _verified(self, token: str, grace: float) -> Principal:
        await trio.lowlevel.checkpoint()  # a crowd of new tokens takes turns with everybody else
        if self._introspector is not None and self.is_introspected(token):
            principal = await self._asked(self._introspector, token, grace)
            until = min(principal.expires_at, self._now() + self._asked_cache)
        else:
            principal = await self._signed(token, grace)
            until = principal.expires_at + self._rules.leeway
        principal = self._revocations.dated(principal)
        if self._revocations.covers(principal):
            raise InvalidTokenError("revoked")
        if not self.expired(principal):
            self._cache.put(token, principal, self._now(), expires_at=until)
        return principal

    async def _asked(self, introspector: Introspector, token: str, grace: float) -> Principal:
        """What the issuer of a token says of it; of a signed one, whether it still stands by it."""
        opaque = self._is_opaque(token)
        name = self.named(token)
        principal = None if opaque else await self._signed(token, grace)
        claims = await introspector.ask(token)
        if claims is None:
            raise InvalidTokenError("not active")
        if principal is None:
            return described(claims, name, now=self._now(), rules=self._rules)
        return confirmed(principal, claims, self._rules)

    def _is_opaque(self, token: str) -> bool:
        """Whether there is nothing in it that could be verified here."""
        if not self._has_keys:
            return True
        try:
            named(token)
        except InvalidTokenError:
            return True
        return False

    async def _signed(self, token: str, grace: float) -> Principal:
        try:
            return self._verify(token, grace)
        except UnknownKeyError:
            is_newest = await self._keys.refresh()
        try:
            return self._verify(token, grace)
        except UnknownKeyError:
            if is_newest:
                raise
            # A client that is told 401 forgets what it has, and the key may be a new one.
            raise errors.unavailable("no_keys", retry_after=NO_KEYS_RETRY) from None

    def _verify(self, token: str, grace: float) -> Principal:
        try:
            return verify(token, self._keys.keys, now=self._now(), rules=self._rules)
        except ExpiredTokenError as error:
            if error.expired_by > grace:
                raise
            return error.principal


def _presented(authorization: str | None, query_token: str | None) -> str:
    """The token of a request; `RequestError` if there is none or more than one (CH-10, CH-13)."""
    if authorization is None:
        token = query_token
    elif query_token is not None:
        raise errors.invalid("access_token")
    elif are_repeated(authorization):
        raise errors.invalid("authorization")
    else:
        scheme, _, rest = authorization.strip().partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else None
    if not token:
        raise errors.unauthorized("token_missing")
    return token
