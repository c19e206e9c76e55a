"""Who is asking: from a request's token to a verified `Principal` (channels.md section 2).

    token in the cache                          -> Principal, without waiting, about 1 us
    else wire/jwt verifies it with the keys at hand
        names a key that is not at hand         -> the keys are refreshed, once more
        valid, expired, invalid                 -> Principal (cached), 401, 401

Scopes, users and what they may touch are checked by those who know the route.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

import attrs
import structlog
import trio

from tocsin.model import errors
from tocsin.model.errors import StartupError
from tocsin.model.option import option, section
from tocsin.model.principal import SCOPES, Principal
from tocsin.server import issuer
from tocsin.server.issuer import BuiltinSettings, Issuer, not_empty
from tocsin.server.jwks import FixedKeys, KeySource, RemoteKeys, read_key_file
from tocsin.wire.jwk import KeySet, shared_secret
from tocsin.wire.jwt import ExpiredTokenError, Rules, TokenError, UnknownKeyError, verify

NO_KEYS_RETRY = 5

log = structlog.get_logger(__name__)


@attrs.frozen
class AuthSettings:
    """`[auth]`"""

    issuer: str | None = option(None, "The `iss` every token must have.")
    audience: str | None = option(None, "The `aud` every token must have, alone or in a list.")
    user_claim: str = option(
        "preferred_username", "The claim that names the user; without it `sub` does."
    )
    project_claim: str = option(
        "project", "The claim that names the project whose portal subscriptions a token may make."
    )
    default_scopes: list[str] = option(
        ["channels"], "Scopes of a token that has none of ours.", choices=SCOPES, check=not_empty
    )
    shared_secret: str | None = option(
        None, "Secret of tokens signed with HS256, 32 bytes or more.", secret=True
    )
    jwks_file: str | None = option(None, "File with a JWK set (RS256, ES256, EdDSA).")
    jwks_url: str | None = option(None, "Address of a JWK set, instead of a file.")
    jwks_refresh: float = option(
        3600, "Seconds between fetches of the set when nothing asks for one.", minimum=60
    )
    cache_size: int = option(
        10_000, "Verified tokens kept; beyond it the least recently used goes.", minimum=1
    )
    cache_seconds: float = option(
        300, "Seconds until a kept token is verified anew.", minimum=0, maximum=3600
    )
    builtin: BuiltinSettings = section(BuiltinSettings, "Tokens from our own endpoint.")


def check(settings: AuthSettings) -> list[str]:
    """What is wrong with these settings as a whole, one line each, with the option's path."""
    problems = []
    sources = (settings.shared_secret, settings.jwks_file, settings.jwks_url)
    if not any(sources):
        problems.append("auth: set jwks_url, jwks_file or shared_secret, or no token can be valid")
    if settings.jwks_file and settings.jwks_url:
        problems.append("auth.jwks_file: cannot stand next to auth.jwks_url")
    if settings.jwks_url and not _is_address(settings.jwks_url):
        problems.append("auth.jwks_url: must be an http or https address")
    if settings.shared_secret and (problem := _secret_problem(settings.shared_secret)):
        problems.append(f"auth.shared_secret: {problem}")
    if settings.builtin.enabled and not settings.shared_secret:
        problems.append("auth.builtin.enabled: needs auth.shared_secret")
    return problems + issuer.check(settings.builtin)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _secret_problem(secret: str) -> str | None:
    try:
        shared_secret(secret)
    except ValueError as error:
        return str(error)
    return None


def key_source(settings: AuthSettings) -> FixedKeys | RemoteKeys:
    """Where these settings say that keys come from; a `RemoteKeys` wants its `run` be run.

    Reads `auth.jwks_file`. `StartupError` if that, or anything `check` knows, is wrong.
    """
    if problems := check(settings):
        raise StartupError("; ".join(problems))
    secret = shared_secret(settings.shared_secret) if settings.shared_secret else None
    if settings.jwks_url:
        return RemoteKeys(settings.jwks_url, secret=secret, refresh_every=settings.jwks_refresh)
    public = read_key_file(settings.jwks_file) if settings.jwks_file else ()
    return FixedKeys(KeySet(secret, public))


def builtin_issuer(settings: AuthSettings, *, now: Callable[[], float] = time.time) -> Issuer:
    """The token endpoint of checked settings with `auth.builtin.enabled`."""
    claims = {"iss": settings.issuer, "aud": settings.audience}
    return Issuer(
        settings.builtin,
        shared_secret(settings.shared_secret or ""),
        claims={name: value for name, value in claims.items() if value is not None},
        now=now,
    )


class Authenticator:
    """Verifies tokens; `now` is the wall clock in epoch seconds."""

    def __init__(
        self, settings: AuthSettings, keys: KeySource, *, now: Callable[[], float] = time.time
    ) -> None:
        if problems := check(settings):
            raise StartupError("; ".join(problems))
        self._keys = keys
        self._now = now
        self._rules = Rules(
            issuer=settings.issuer,
            audience=settings.audience,
            user_claim=settings.user_claim,
            project_claim=settings.project_claim,
            default_scopes=frozenset(settings.default_scopes),
        )
        self._cache = TokenCache(settings.cache_size, settings.cache_seconds)

    async def authenticate(
        self, *, authorization: str | None, query_token: str | None, grace: float = 0
    ) -> Principal:
        """The principal of a request's token, else a `RequestError` of CH-13 or 503 `no_keys`.

        `query_token` is the `access_token` of the query, for routes that take it there, else
        None. With `grace`, a token that expired no longer ago than so many seconds passes too:
        see `expired`. Waits only when a token's key is not at hand; safe to cancel.
        """
        token = _presented(authorization, query_token)
        try:
            principal = self.cached(token) or await self._verified(token, grace)
        except TokenError as error:
            log.debug("token.refused", reason=str(error))
            raise errors.unauthorized(error.code) from None
        return principal

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was verified lately."""
        return self._cache.get(token, self._now())

    def expired(self, principal: Principal) -> bool:
        """Whether only `grace` let this principal pass; CH-61 wants its `sub` compared then."""
        return self.seconds_left(principal) <= 0

    def seconds_left(self, principal: Principal) -> float:
        """Until a token is over, leeway included."""
        return principal.expires_at + self._rules.leeway - self._now()

    async def _verified(self, token: str, grace: float) -> Principal:
        await trio.lowlevel.checkpoint()  # a crowd of new tokens takes turns with everybody else
        try:
            return self._verify(token, grace)
        except UnknownKeyError:
            await self._keys.refresh()
        if not self._keys.ready:
            raise errors.unavailable("no_keys", retry_after=NO_KEYS_RETRY)
        return self._verify(token, grace)

    def _verify(self, token: str, grace: float) -> Principal:
        now = self._now()
        try:
            principal = verify(token, self._keys.keys, now=now, rules=self._rules)
        except ExpiredTokenError as error:
            if error.expired_by > grace:
                raise
            return error.principal
        expires_at = principal.expires_at + self._rules.leeway
        self._cache.put(token, principal, now, expires_at=expires_at)
        return principal


class TokenCache:
    """Verified tokens by a digest: at most `size`, none older than `seconds` or expired.

    Full: the least recently used one goes; it costs a verification when it comes back. An entry
    from the future, seen after the clock was set back, does not count either.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._entries: OrderedDict[bytes, tuple[float, float, Principal]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: str, now: float) -> Principal | None:
        """The principal, if it is still good."""
        key = _digest(token)
        entry = self._entries.get(key)
        if entry is None:
            return None
        since, until, principal = entry
        if not since <= now < until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return principal

    def put(self, token: str, principal: Principal, now: float, *, expires_at: float) -> None:
        """Keeps a principal, no longer than until `expires_at`."""
        key = _digest(token)
        self._entries[key] = (now, min(expires_at, now + self._seconds), principal)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


def _digest(token: str) -> bytes:
    """A tenth of the token's size, and nothing that could be used."""
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=20).digest()


def _presented(authorization: str | None, query_token: str | None) -> str:
    """The token of a request; `RequestError` if there is none or more than one (CH-10, CH-13)."""
    if authorization is None:
        token = query_token
    elif query_token is not None:
        raise errors.invalid("access_token")
    else:
        scheme, _, rest = authorization.strip().partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else None
    if not token:
        raise errors.unauthorized("token_missing")
    return token
