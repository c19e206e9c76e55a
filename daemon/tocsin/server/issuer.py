"""The token endpoint: tokens for clients and users that stand in the configuration (CH-14).

For deployments without an identity provider. It speaks the two grants deployed clients use, of
RFC 6749: `client_credentials` (section 4.4) and `password` (4.3), and answers both with an access
token and an id token.

    parse_form, with_basic (wire/grant) -> Issuer.grant -> Grant | GrantError -> body()

Guessing is made slow in four ways: each try costs a scrypt hash, also for names that do not
exist; one hash is computed at a time, and at most WAITING_LIMIT callers wait for their turn;
ten failures in a minute close a client id or a user name until a minute has passed; and who tries
many names is refused, by address, with all others who prove nothing (SE-5).

A wrong password counts against the user, a wrong secret against the client: client ids of apps are
public, and whoever likes to could keep all of an app's users out by ten wrong passwords.
"""

import secrets
import time
from collections.abc import Callable, Mapping

import attrs
import trio

from tocsin.model.option import option
from tocsin.model.principal import SCOPES
from tocsin.server.failures import Failures
from tocsin.server.limits import FailedAuthentications
from tocsin.server.peers import Networks
from tocsin.wire.grant import (
    Grant,
    GrantError,
    granted_scope,
    parse_form,
    required,
    with_basic,
)
from tocsin.wire.jwk import Key
from tocsin.wire.jwt import mint
from tocsin.wire.request import Request
from tocsin.wire.response import Response
from tocsin.wire.scrypt import ScryptHash, parsed

WAITING_LIMIT = 100
DECOY = ScryptHash(salt=bytes(16), digest=bytes(32))
"""Hashed against for names that do not exist, so that they take as long as those that do."""


def not_empty(scopes: list[str]) -> str | None:
    """What is wrong with a list of no scopes, in words for the operator."""
    return None if scopes else "must name at least one"


@attrs.frozen
class BuiltinClient:
    """`[auth.builtin.clients.<id>]`"""

    secret: str | None = option(
        None,
        "Hash of the client's secret, from `tocsin token hash`; none: it can only log in users.",
        secret=True,
    )
    user: str | None = option(None, "The user a client_credentials token speaks for.")
    scopes: list[str] = option(
        ["channels"], "What those tokens may do.", choices=SCOPES, check=not_empty
    )


@attrs.frozen
class BuiltinUser:
    """`[auth.builtin.users.<name>]`"""

    password: str = option("", "Hash of the password, from `tocsin token hash`.", secret=True)
    scopes: list[str] = option(
        ["channels"], "What the user's tokens may do.", choices=SCOPES, check=not_empty
    )


@attrs.frozen
class BuiltinSettings:
    """`[auth.builtin]`"""

    enabled: bool = option(False, "Serve the token endpoint; it needs auth.shared_secret.")
    lifetime: int = option(28_800, "Seconds a token is valid.", minimum=60, maximum=31_536_000)
    clients: dict[str, BuiltinClient] = option({}, "Projects and apps, by id.")
    users: dict[str, BuiltinUser] = option({}, "Users, by name.")


def check(settings: BuiltinSettings) -> list[str]:
    """What is wrong with the clients and users, one line each."""
    hashes = {f"clients.{name}.secret": c.secret for name, c in settings.clients.items()}
    hashes |= {f"users.{name}.password": u.password for name, u in settings.users.items()}
    problems = [
        f"auth.builtin.{path}: {problem}"
        for path, text in hashes.items()
        if text is not None and (problem := _hash_problem(text))
    ]
    return problems + [
        f"auth.builtin.clients.{name}.user: a client with a secret needs one"
        for name, client in settings.clients.items()
        if client.secret is not None and not client.user
    ]


def _hash_problem(text: str) -> str | None:
    try:
        parsed(text)
    except ValueError as error:
        return str(error)
    return None


class Issuer:
    """Grants tokens signed with the shared secret.

    `claims` are put into every token: `iss` and `aud`, where the verifying side wants them.
    `addresses` counts failures, and refuses whoever is at an address with too many of them.
    `now` is the wall clock in epoch seconds. The settings must have passed `check`.
    """

    def __init__(
        self,
        settings: BuiltinSettings,
        secret: Key,
        *,
        claims: Mapping[str, str] | None = None,
        addresses: FailedAuthentications | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._claims = dict(claims or {})
        self._now = now
        self._clients = {
            name: parsed(client.secret)
            for name, client in settings.clients.items()
            if client.secret is not None
        }
        self._users = {name: parsed(user.password) for name, user in settings.users.items()}
        self._failures = Failures()
        self._addresses = addresses or FailedAuthentications(0, unlimited=Networks(()))
        self._turn = trio.CapacityLimiter(1)

    async def token_endpoint(self, request: Request) -> Response:
        """The handler of `POST {prefix}/auth/v1/token`, a route without a scope."""
        authorization = request.headers.get("authorization")
        try:
            form = parse_form(request.headers.get("content-type"), request.body)
            form = with_basic(form, authorization)
            grant = await self.grant(form, now=self._now(), peer=request.peer)
        except GrantError as error:
            headers = _headers(error, authorization)
            return Response(error.status, error.body(), headers)
        return Response(200, grant.body(), [("Pragma", "no-cache")])

    async def grant(self, form: Mapping[str, str], *, now: float, peer: str = "") -> Grant:
        """Tokens for a form from `peer`, `now` being epoch seconds; `GrantError` if there are none
        for it.

        Waits for its turn, then for a hash; cancelled while waiting, nothing was tried.
        """
        match required(form, "grant_type"):
            case "client_credentials":
                return await self._grant_client(form, now, peer)
            case "password":
                return await self._grant_user(form, now, peer)
            case _:
                raise GrantError(400, "unsupported_grant_type", "client_credentials or password")

    async def _grant_client(self, form: Mapping[str, str], now: float, peer: str) -> Grant:
        client_id, secret = required(form, "client_id"), required(form, "client_secret")
        await self._prove_client(client_id, secret, peer)
        client = self._settings.clients[client_id]
        scope = granted_scope(form.get("scope", ""), client.scopes)
        return self._issue(client.user or client_id, client_id, scope, now)

    async def _grant_user(self, form: Mapping[str, str], now: float, peer: str) -> Grant:
        client_id = required(form, "client_id")
        name, password = required(form, "username"), required(form, "password")
        if client_id not in self._settings.clients or "client_secret" in form:
            await self._prove_client(client_id, form.get("client_secret", ""), peer)
        if not await self._proves(f"user {name}", self._users.get(name), password, peer):
            raise GrantError(400, "invalid_grant", "wrong username or password")
        scope = granted_scope(form.get("scope", ""), self._settings.users[name].scopes)
        return self._issue(name, client_id, scope, now)

    async def _prove_client(self, client_id: str, secret: str, peer: str) -> None:
        known = self._clients.get(client_id)
        if not await self._proves(f"client {client_id}", known, secret, peer):
            raise GrantError(401, "invalid_client", "wrong client_id or client_secret")

    async def _proves(self, name: str, known: ScryptHash | None, secret: str, peer: str) -> bool:
        """Whether `secret` is the one of `name`; failures are counted, and closed names and
        addresses refused, so that a right guess is no better than a wrong one there."""
        self._check_open(name, peer)
        if self._turn.statistics().tasks_waiting >= WAITING_LIMIT:
            raise GrantError(429, "slow_down", "too many logins at once", retry_after=5)
        async with self._turn:
            self._check_open(name, peer)  # those before us may have closed it
            matches = await trio.to_thread.run_sync((known or DECOY).matches, secret)
            proven = matches and known is not None
            if not proven:
                self._failures.add(name, trio.current_time())
                self._addresses.add(peer, trio.current_time())
        return proven

    def _check_open(self, name: str, peer: str) -> None:
        now = trio.current_time()
        wait = max(self._failures.retry_after(name, now), self._addresses.retry_after(peer, now))
        if wait:
            raise GrantError(429, "slow_down", "too many failures", retry_after=wait)

    def _issue(self, user: str, client_id: str, scope: str, now: float) -> Grant:
        """Both tokens carry the same user and scope: neither may do what the other may not."""
        lifetime = self._settings.lifetime
        claims = {**self._claims, "sub": user, "preferred_username": user, "scope": scope}
        access = {**claims, "client_id": client_id, "jti": secrets.token_hex(16)}
        identity = {**claims, "azp": client_id, "jti": secrets.token_hex(16)}
        return Grant(
            access_token=mint(access, self._secret, now=now, lifetime=lifetime),
            id_token=mint(identity, self._secret, now=now, lifetime=lifetime),
            expires_in=lifetime,
            scope=scope,
        )


def _headers(error: GrantError, authorization: str | None) -> list[tuple[str, str]]:
    headers = [("Pragma", "no-cache")]
    if error.status == 401 and authorization is not None:
        headers.append(("WWW-Authenticate", 'Basic realm="tocsin"'))
    if error.retry_after:
        headers.append(("Retry-After", str(error.retry_after)))
    return headers
