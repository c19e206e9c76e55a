"""Requests to principals."""

from collections.abc import Callable

import attrs
import pytest
import trio
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW, SECRET, jwks, public_jwk, signed

from tocsin.model.errors import RequestError, StartupError
from tocsin.model.principal import Principal
from tocsin.server.auth import Authenticator, AuthSettings, check, key_source
from tocsin.server.issuer import BuiltinSettings
from tocsin.server.jwks import FixedKeys, RemoteKeys
from tocsin.wire.jwk import KeySet, public_keys, shared_secret

SETTINGS = AuthSettings(shared_secret=SECRET)


@attrs.define
class Clock:
    """Wall time as a test wants it."""

    time: float = NOW

    def __call__(self) -> float:
        return self.time


@attrs.define
class Provider:
    """A key source whose refresh brings what a test put into `newer`, while it can be reached."""

    keys: KeySet = attrs.field(factory=KeySet)
    reachable: bool = True
    newer: KeySet | None = None
    refreshes: int = 0

    async def refresh(self) -> bool:
        await trio.lowlevel.checkpoint()
        self.refreshes += 1
        if self.reachable and self.newer is not None:
            self.keys = self.newer
        return self.reachable


def key_set(*names: str) -> KeySet:
    return KeySet(
        shared_secret(SECRET), public_keys(jwks(*(public_jwk("EdDSA", n) for n in names)))
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(clock: Clock) -> Authenticator:
    return Authenticator(
        SETTINGS, key_source(SETTINGS), revocations=revocations(now=clock), now=clock
    )


async def bearer(authenticator: Authenticator, token: str, grace: float = 0) -> Principal:
    return await authenticator.authenticate(
        authorization=f"Bearer {token}", query_token=None, grace=grace
    )


async def refused(authenticator: Authenticator, **request: str | None) -> RequestError:
    with pytest.raises(RequestError) as refusal:
        await authenticator.authenticate(**{"authorization": None, "query_token": None, **request})
    return refusal.value


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", " Bearer  "])
async def test_token_in_the_header(authenticator: Authenticator, scheme: str) -> None:
    """CH-10: the scheme's case and the space around it do not matter."""
    principal = await authenticator.authenticate(
        authorization=f"{scheme} {signed('HS256')}", query_token=None
    )
    assert principal.user == "alice"


async def test_token_in_the_query(authenticator: Authenticator) -> None:
    """CH-10: where the route takes it, the query's token is as good."""
    principal = await authenticator.authenticate(authorization=None, query_token=signed("HS256"))
    assert principal.user == "alice"


async def test_header_and_query_together(authenticator: Authenticator) -> None:
    """CH-10: two tokens, even the same one twice, are 400 SVC0002 access_token."""
    token = signed("HS256")
    error = await refused(authenticator, authorization=f"Bearer {token}", query_token=token)
    assert (error.status, error.message_id, error.variables) == (400, "SVC0002", ("access_token",))


async def test_two_headers(authenticator: Authenticator) -> None:
    """CH-10: two `Authorization` headers come joined, and are as many tokens too many."""
    token = signed("HS256")
    for twice in (f"Bearer {token}, Bearer {token}", f"Basic YTpi, Bearer {token}"):
        error = await refused(authenticator, authorization=twice)
        assert (error.status, error.variables) == (400, ("authorization",))


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_no_token(authenticator: Authenticator, authorization: str | None) -> None:
    """CH-13: without a bearer token 401 token_missing and a bare challenge."""
    error = await refused(authenticator, authorization=authorization)
    assert (error.status, error.message_id, error.variables) == (401, "POL0001", ("token_missing",))
    assert error.headers == (("WWW-Authenticate", "Bearer"),)


async def test_empty_query_token(authenticator: Authenticator) -> None:
    """CH-13: `?access_token=` is no token."""
    assert (await refused(authenticator, query_token="")).variables == ("token_missing",)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("x", "token_invalid"),
        ("a b", "token_invalid"),
        (signed("HS256", exp=NOW - 30), "token_expired"),
        (signed("HS256", nbf=NOW + 31), "token_invalid"),
        (signed("EdDSA"), "token_invalid"),
    ],
)
async def test_bad_tokens(authenticator: Authenticator, token: str, code: str) -> None:
    """CH-13: bad and expired tokens get 401 with their code and the challenge invalid_token."""
    error = await refused(authenticator, authorization=f"Bearer {token}")
    assert (error.status, error.variables) == (401, (code,))
    assert error.headers == (("WWW-Authenticate", 'Bearer error="invalid_token"'),)


async def test_settings_reach_the_rules(clock: Clock) -> None:
    """CH-11, CH-12: issuer, audience, user claim and default scopes are those configured."""
    settings = AuthSettings(
        issuer="us",
        audience="tocsin",
        user_claim="uid",
        default_scopes=["push"],
        shared_secret=SECRET,
    )
    authenticator = Authenticator(
        settings, key_source(settings), revocations=revocations(now=clock), now=clock
    )
    good = signed("HS256", iss="us", aud="tocsin", uid="bob")
    principal = await bearer(authenticator, good)
    assert (principal.user, principal.scopes) == ("bob", {"push"})
    for flaw in ({"iss": "x"}, {"aud": "x"}):
        token = signed("HS256", **{"iss": "us", "aud": "tocsin", **flaw})
        assert (await refused(authenticator, query_token=token)).label == "token_invalid"


async def test_verified_tokens_are_cached(authenticator: Authenticator, clock: Clock) -> None:
    """SE-1: a token is verified once in 300 s, and never passes beyond its end."""
    token = signed("HS256", exp=NOW + 290)
    assert authenticator.cached(token) is None
    principal = await bearer(authenticator, token)
    assert authenticator.cached(token) is principal
    assert await bearer(authenticator, token) is principal
    clock.time = NOW + 299.9
    assert authenticator.cached(token) is principal
    clock.time = NOW + 300
    assert authenticator.cached(token) is None
    again = await bearer(authenticator, token)
    assert again == principal
    assert again is not principal
    clock.time = NOW + 320
    assert authenticator.cached(token) is None
    assert (await refused(authenticator, query_token=token)).label == "token_expired"


async def test_refusals_are_not_cached(authenticator: Authenticator, clock: Clock) -> None:
    """CH-11: a token that was too early is accepted when its time has come."""
    token = signed("HS256", nbf=NOW + 31)
    assert (await refused(authenticator, query_token=token)).label == "token_invalid"
    clock.time = NOW + 1
    assert (await bearer(authenticator, token)).user == "alice"


async def test_unknown_key_refreshes_once(clock: Clock) -> None:
    """CH-11: a token with a new key is accepted after one refresh, a made-up one is invalid."""
    provider = Provider(key_set("1"), newer=key_set("1", "2"))
    authenticator = Authenticator(SETTINGS, provider, revocations=revocations(now=clock), now=clock)
    assert (await bearer(authenticator, signed("EdDSA", "2"))).user == "alice"
    assert provider.refreshes == 1
    assert (await refused(authenticator, query_token=signed("EdDSA", "3"))).label == "token_invalid"
    assert provider.refreshes == 2


async def test_no_keys_at_all(clock: Clock) -> None:
    """CH-11: no set was ever fetched: 503 with Retry-After, never let in unchecked."""
    provider = Provider(KeySet(shared_secret(SECRET)), reachable=False)
    authenticator = Authenticator(SETTINGS, provider, revocations=revocations(now=clock), now=clock)
    error = await refused(authenticator, query_token=signed("EdDSA"))
    assert (error.status, error.message_id, error.label) == (503, "SVC1000", "no_keys")
    assert dict(error.headers)["Retry-After"] == "5"
    assert (await bearer(authenticator, signed("HS256"))).user == "alice"
    provider.newer, provider.reachable = key_set("1"), True
    assert (await bearer(authenticator, signed("EdDSA"))).user == "alice"


async def test_a_new_key_that_cannot_be_looked_for(clock: Clock) -> None:
    """CH-11: an outage of the provider makes nobody forget his subscriptions: 503 for what a newer
    set might verify; what is bad by the keys at hand stays 401, and what they verify is let in."""
    provider = Provider(key_set("1"), reachable=False, newer=key_set("1", "2"))
    authenticator = Authenticator(SETTINGS, provider, revocations=revocations(now=clock), now=clock)
    error = await refused(authenticator, query_token=signed("EdDSA", "2"))
    assert (error.status, error.label, dict(error.headers)["Retry-After"]) == (503, "no_keys", "5")
    assert (await bearer(authenticator, signed("EdDSA", "1"))).user == "alice"
    forged = signed("EdDSA", "2", kid="1")
    assert (await refused(authenticator, query_token=forged)).label == "token_invalid"
    provider.reachable = True
    assert (await bearer(authenticator, signed("EdDSA", "2"))).user == "alice"


async def test_a_withdrawn_key_takes_its_tokens_along(clock: Clock) -> None:
    """SE-1: what is not in the newest set lets nobody in, however lately it has verified; a set
    that has only grown costs nothing."""
    provider = Provider(key_set("1"), newer=key_set("1", "2"))
    authenticator = Authenticator(SETTINGS, provider, revocations=revocations(now=clock), now=clock)
    first, second = signed("EdDSA", "1"), signed("EdDSA", "2")
    await bearer(authenticator, first)
    await bearer(authenticator, second)
    assert authenticator.cached(first) is not None
    provider.newer = provider.keys = key_set("2")
    assert authenticator.cached(first) is None
    assert (await refused(authenticator, query_token=first)).label == "token_invalid"
    assert (await bearer(authenticator, second)).user == "alice"


async def test_a_key_that_was_replaced_under_its_name(clock: Clock) -> None:
    """SE-1: keys are told apart by what they are, not by what they are called."""
    provider = Provider(key_set("1"))
    authenticator = Authenticator(SETTINGS, provider, revocations=revocations(now=clock), now=clock)
    token = signed("EdDSA", "1")
    await bearer(authenticator, token)
    provider.keys = KeySet(
        provider.keys.secret, public_keys(jwks(public_jwk("EdDSA", "2", kid="1")))
    )
    assert authenticator.cached(token) is None
    assert (await refused(authenticator, query_token=token)).label == "token_invalid"


async def test_grace_for_expired_tokens(authenticator: Authenticator, clock: Clock) -> None:
    """CH-61: with grace an expired token passes and is told apart; without, later it does not."""
    token = signed("HS256", exp=NOW - 100)
    principal = await bearer(authenticator, token, grace=100)
    assert authenticator.expired(principal)
    assert authenticator.cached(token) is None
    assert (await refused(authenticator, query_token=token)).label == "token_expired"
    clock.time = NOW + 0.1
    with pytest.raises(RequestError, match="token_expired"):
        await bearer(authenticator, token, grace=100)
    assert not authenticator.expired(await bearer(authenticator, signed("HS256")))


async def test_grace_covers_expiry_only(authenticator: Authenticator) -> None:
    """CH-61: grace lets nothing pass that is wrong in another way."""
    for token in (signed("EdDSA", exp=NOW - 100), signed("HS256", exp=NOW - 100, nbf=NOW + 99)):
        with pytest.raises(RequestError, match="token_invalid"):
            await bearer(authenticator, token, grace=1000)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (AuthSettings, "auth"),
        (lambda: AuthSettings(shared_secret=""), "auth"),
        (lambda: AuthSettings(shared_secret="x" * 31), "auth.shared_secret"),
        (lambda: AuthSettings(jwks_url="http://x/k", jwks_file="k"), "auth.jwks_file"),
        (lambda: AuthSettings(jwks_url="idp.example/keys"), "auth.jwks_url"),
        (lambda: AuthSettings(jwks_url="ftp://idp.example/keys"), "auth.jwks_url"),
        (lambda: AuthSettings(jwks_url="http://[x/keys"), "auth.jwks_url"),
        (
            lambda: AuthSettings(jwks_url="http://x/k", builtin=BuiltinSettings(enabled=True)),
            "auth.builtin.enabled",
        ),
    ],
)
def test_settings_that_cannot_work(settings: Callable[[], AuthSettings], path: str) -> None:
    """CH-11: without a usable source of keys the daemon does not start, and says which option."""
    (problem,) = check(settings())
    assert problem.partition(":")[0] == path
    with pytest.raises(StartupError, match=path):
        key_source(settings())
    with pytest.raises(StartupError, match=path):
        Authenticator(settings(), FixedKeys(KeySet()), revocations=revocations())


def test_sources_of_keys() -> None:
    """CH-11: an address makes a service that fetches, everything else is fixed."""
    assert check(SETTINGS) == []
    assert isinstance(key_source(SETTINGS), FixedKeys)
    remote = key_source(AuthSettings(jwks_url="https://idp.example/keys", shared_secret=SECRET))
    assert isinstance(remote, RemoteKeys)
    assert remote.keys.secret is not None


def test_missing_key_file_stops_the_start() -> None:
    """CH-11: a jwks_file that is not there is one clear line."""
    with pytest.raises(StartupError, match=r"auth\.jwks_file: /nonexistent/keys: No such file"):
        key_source(AuthSettings(jwks_file="/nonexistent/keys"))


def test_secrets_are_not_shown() -> None:
    """OP-17: the settings can be logged without giving the secret away."""
    assert SECRET not in repr(SETTINGS)
