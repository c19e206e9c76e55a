"""The token endpoint."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import jwt
import orjson
import pytest
import trio
from tests.fakes.daemon import CHANNELS, daemon
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW, SECRET
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.server.auth import Authenticator, AuthSettings, builtin_issuer, key_source
from tocsin.server.issuer import (
    WAITING_LIMIT,
    BuiltinClient,
    BuiltinSettings,
    BuiltinUser,
    Issuer,
    check,
)
from tocsin.server.limits import FailedAuthentications
from tocsin.server.peers import Networks
from tocsin.wire.grant import FORM_TYPE, GrantError
from tocsin.wire.request import Request
from tocsin.wire.response import Response
from tocsin.wire.scrypt import ScryptHash


def cheap_hash(secret: str) -> str:
    digest = hashlib.scrypt(secret.encode(), salt=b"saltsalt", n=1 << 10, r=1, p=1, dklen=16)
    return str(ScryptHash(b"saltsalt", digest, ln=10, r=1))


BUILTIN = BuiltinSettings(
    enabled=True,
    clients={
        "crm": BuiltinClient(cheap_hash("s3cret"), "acme", ["publish", "channels"]),
        "app": BuiltinClient(),
    },
    users={"al@x": BuiltinUser(cheap_hash("pass"))},
)
SETTINGS = AuthSettings(shared_secret=SECRET, issuer="us", audience="tocsin", builtin=BUILTIN)
PROJECT = {
    "grant_type": "client_credentials",
    "client_id": "crm",
    "client_secret": "s3cret",
    "scope": "openid",
}
USER = {
    "grant_type": "password",
    "client_id": "app",
    "username": "al@x",
    "password": "pass",
    "scope": "openid",
}


@pytest.fixture
def issuer() -> Issuer:
    return builtin_issuer(SETTINGS, now=lambda: NOW + 0.5)


async def post(
    issuer: Issuer, form: Mapping[str, str], authorization: str = "", *, peer: str = ""
) -> Response:
    headers = {"content-type": FORM_TYPE} | (
        {"authorization": authorization} if authorization else {}
    )
    body = urlencode(form).encode()
    return await issuer.token_endpoint(Request("POST", "/", (), headers, body, peer))


def claims(token: str) -> dict[str, object]:
    options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    return jwt.decode(token, SECRET, algorithms=["HS256"], options=options)


async def test_project_token(issuer: Issuer) -> None:
    """CH-14: client_credentials yields tokens for the client's user with the client's scopes."""
    response = await post(issuer, PROJECT)
    answer = orjson.loads(response.body)
    assert response.status == 200
    assert set(answer) == {"access_token", "id_token", "token_type", "expires_in", "scope"}
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 28800)
    assert answer["scope"] == "openid publish channels"
    access = claims(answer["access_token"])
    assert access.pop("jti")
    assert access == {
        "iat": NOW,
        "exp": NOW + 28800,
        "iss": "us",
        "aud": "tocsin",
        "sub": "acme",
        "preferred_username": "acme",
        "scope": "openid publish channels",
        "client_id": "crm",
    }


async def test_user_token(issuer: Issuer) -> None:
    """CH-14: password yields an id token whose preferred_username is the user of all paths."""
    answer = orjson.loads((await post(issuer, USER)).body)
    identity = claims(answer["id_token"])
    assert (identity["iat"], identity["exp"]) == (NOW, NOW + 28800)
    assert identity["preferred_username"] == "al@x"
    assert claims(answer["access_token"])["client_id"] == "app"


@pytest.mark.parametrize("form", [PROJECT, USER])
async def test_our_own_tokens_are_accepted(form: Mapping[str, str]) -> None:
    """CH-11, CH-14: both tokens verify here, neither may do what the other may not."""
    issuer = builtin_issuer(SETTINGS, now=lambda: NOW)
    answer = orjson.loads((await post(issuer, {**form, "scope": "channels"})).body)
    authenticator = Authenticator(
        SETTINGS, key_source(SETTINGS), revocations=revocations(), now=lambda: NOW
    )
    for name in ("access_token", "id_token"):
        principal = await authenticator.authenticate(
            authorization=f"Bearer {answer[name]}", query_token=None
        )
        assert principal.user in {"acme", "al@x"}
        assert principal.scopes == {"channels"}
        assert principal.producer == form["client_id"]


async def test_two_tokens_of_one_second_have_two_ids(issuer: Issuer) -> None:
    """SE-3: revoking one token does not revoke its twin."""
    first, second = [orjson.loads((await post(issuer, USER)).body) for _ in range(2)]
    assert claims(first["access_token"])["jti"] != claims(second["access_token"])["jti"]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({**PROJECT, "client_id": ""}, 400, "invalid_request"),
        ({**PROJECT, "client_secret": ""}, 400, "invalid_request"),
        ({**USER, "password": ""}, 400, "invalid_request"),
        ({**USER, "client_id": ""}, 400, "invalid_request"),
        ({**PROJECT, "grant_type": "refresh_token"}, 400, "unsupported_grant_type"),
        ({**PROJECT, "client_secret": "wrong"}, 401, "invalid_client"),
        ({**PROJECT, "client_id": "nobody"}, 401, "invalid_client"),
        ({**PROJECT, "client_id": "app"}, 401, "invalid_client"),
        ({**USER, "client_id": "nobody"}, 401, "invalid_client"),
        ({**USER, "client_id": "crm", "client_secret": "wrong"}, 401, "invalid_client"),
        ({**USER, "password": "wrong"}, 400, "invalid_grant"),
        ({**USER, "username": "nobody"}, 400, "invalid_grant"),
        ({**USER, "username": "AL@x"}, 400, "invalid_grant"),
        ({**USER, "scope": "admin"}, 400, "invalid_scope"),
        ({**PROJECT, "scope": "openid push"}, 400, "invalid_scope"),
    ],
)
async def test_refusals(issuer: Issuer, form: dict[str, str], status: int, error: str) -> None:
    """CH-14: each mistake has its code, with error and error_description."""
    response = await post(issuer, form)
    answer = orjson.loads(response.body)
    assert (response.status, answer["error"]) == (status, error)
    assert set(answer) == {"error", "error_description"}


async def test_a_refusal_does_not_tell_whether_the_user_exists(issuer: Issuer) -> None:
    """CH-14: a wrong password and an unknown user get the same answer."""
    wrong = await post(issuer, {**USER, "password": "wrong"})
    unknown = await post(issuer, {**USER, "username": "nobody"})
    assert wrong == unknown


async def test_an_unknown_name_costs_a_hash_too(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CH-14: the time an answer takes does not tell whether the user exists."""
    hashes = []
    real = ScryptHash.matches

    def counting(known: ScryptHash, secret: str) -> bool:
        hashes.append(known)
        return real(known, secret)

    monkeypatch.setattr(ScryptHash, "matches", counting)
    for username in ("al@x", "nobody"):
        await post(issuer, {**USER, "username": username, "password": "wrong"})
    assert len(hashes) == 2


async def test_the_decoys_secret_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """CH-14: an unknown user stays unknown, whatever its decoy hash says."""
    monkeypatch.setattr(ScryptHash, "matches", lambda *_: True)
    issuer = builtin_issuer(SETTINGS)
    assert (await post(issuer, {**USER, "username": "nobody"})).status == 400
    assert (await post(issuer, {**PROJECT, "client_id": "nobody"})).status == 401


async def test_basic_authentication(issuer: Issuer) -> None:
    """RFC 6749 section 2.3.1: a client's secret may come in the header; 401 then says how."""
    form = {"grant_type": "client_credentials"}
    assert (await post(issuer, form, "Basic Y3JtOnMzY3JldA==")).status == 200
    refused = await post(issuer, form, "Basic Y3JtOndyb25n")
    assert refused.status == 401
    assert ("WWW-Authenticate", 'Basic realm="tocsin"') in refused.headers


async def test_ten_failures_close_a_user_name(issuer: Issuer, mock_clock: MockClock) -> None:
    """CH-14: after ten failures in a minute 429 slow_down, also for the right password."""
    for _ in range(10):
        assert (await post(issuer, {**USER, "password": "wrong"})).status == 400
    refused = await post(issuer, USER)
    assert (refused.status, orjson.loads(refused.body)["error"]) == (429, "slow_down")
    assert ("Retry-After", "60") in refused.headers
    assert (await post(issuer, PROJECT)).status == 200
    mock_clock.jump(60)
    assert (await post(issuer, USER)).status == 200


async def test_ten_failures_close_a_client_id(issuer: Issuer, mock_clock: MockClock) -> None:
    """CH-14: clients are counted like users, and wrong passwords are not their fault."""
    for _ in range(10):
        await post(issuer, {**PROJECT, "client_secret": "wrong"})
        await post(issuer, {**USER, "username": "joe", "client_id": "app"})
    assert (await post(issuer, PROJECT)).status == 429
    assert (await post(issuer, USER)).status == 200


async def test_who_tries_many_names_is_refused_by_address(mock_clock: MockClock) -> None:
    """SE-5: a name each time, all at once or a bearer token amid them: 429 slow_down, for the right
    password, too; other addresses, and networks that are not counted, are let be."""
    addresses = FailedAuthentications(1, unlimited=Networks(["127.0.0.0/8"]))
    issuer = builtin_issuer(SETTINGS, addresses=addresses, now=lambda: NOW)
    statuses = []

    async def guess(number: int, peer: str) -> None:
        answer = await post(issuer, {**USER, "username": f"u{number}"}, peer=peer)
        statuses.append(answer.status)

    addresses.count("1.2.3.4", trio.current_time())
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(guess, number, "1.2.3.4")
    assert sorted(statuses) == [400] * 2 + [429] * 3
    refused = await post(issuer, USER, peer="1.2.3.4")
    assert (refused.status, orjson.loads(refused.body)["error"]) == (429, "slow_down")
    assert ("Retry-After", "1") in refused.headers
    assert (await post(issuer, USER, peer="1.2.3.5")).status == 200
    for number in range(5):
        await guess(number, "127.0.0.1")
    assert statuses[5:] == [400] * 5
    mock_clock.jump(1)
    assert (await post(issuer, USER, peer="1.2.3.4")).status == 200


async def test_one_address_has_one_bucket(tmp_path: Path) -> None:
    """SE-5, CH-14: over the wire, wrong passwords and bad bearers of an address add up."""
    builtin = {"enabled": True, "users": {"al@x": {"password": cheap_hash("pass")}}}
    limits = {"rate": 0.01, "unlimited_networks": []}
    async with daemon(tmp_path, auth={"builtin": builtin}, limits=limits) as running:
        target, form = "/cpaas/auth/v1/token", urlencode({**USER, "client_id": "crm"}).encode()
        headers = [("Content-Type", FORM_TYPE)]
        assert (await running.ask("POST", target, form, bearer=None, headers=headers)).status == 401
        answer = await running.ask("POST", target, form, bearer=None, headers=headers)
        assert (answer.status, orjson.loads(answer.body)["error"]) == (429, "slow_down")
        assert (await running.get(CHANNELS, bearer="bad")).status == 429
        assert (await running.get(CHANNELS)).status == 200


async def test_logins_that_succeed_count_for_nobody(mock_clock: MockClock) -> None:
    """SE-5: a crowd behind one address logs in as it likes."""
    addresses = FailedAuthentications(1, unlimited=Networks([]))
    issuer = builtin_issuer(SETTINGS, addresses=addresses, now=lambda: NOW)
    statuses = [(await post(issuer, USER, peer="1.2.3.4")).status for _ in range(5)]
    assert statuses == [200] * 5


async def test_simultaneous_guesses_are_counted(issuer: Issuer, mock_clock: MockClock) -> None:
    """CH-14: sending all guesses at once does not buy more than ten of them."""
    statuses = []

    async def guess() -> None:
        statuses.append((await post(issuer, {**USER, "password": "wrong"})).status)

    async with trio.open_nursery() as nursery:
        for _ in range(15):
            nursery.start_soon(guess)
    assert sorted(statuses) == [400] * 10 + [429] * 5


async def test_the_queue_for_hashes_is_bounded(issuer: Issuer) -> None:
    """SE-5: when too many logins wait for their turn, the next one is told to come back."""
    async with issuer._turn, trio.open_nursery() as nursery:
        for number in range(WAITING_LIMIT):
            nursery.start_soon(post, issuer, {**USER, "username": f"u{number}"})
        await wait_all_tasks_blocked()
        refused = await post(issuer, USER)
        assert refused.status == 429
        nursery.cancel_scope.cancel()


async def test_cancelled_while_waiting_leaves_nothing_behind(issuer: Issuer) -> None:
    """CH-14: a caller that goes away while waiting neither counts nor blocks the others."""
    async with issuer._turn:
        with trio.move_on_after(0) as scope:
            await post(issuer, {**USER, "password": "wrong"})
        assert scope.cancelled_caught
    assert (await post(issuer, USER)).status == 200


async def test_a_body_that_is_no_form(issuer: Issuer) -> None:
    """CH-14: JSON at the token endpoint is an invalid request."""
    request = Request("POST", "/", (), {"content-type": "application/json"}, b"{}")
    assert (await issuer.token_endpoint(request)).status == 400


async def test_grant_raises_for_direct_callers(issuer: Issuer) -> None:
    """The core is usable without HTTP: a refusal is an exception with status and code."""
    with pytest.raises(GrantError, match="401 invalid_client"):
        await issuer.grant({**PROJECT, "client_secret": "x"}, now=NOW)


def test_configuration_problems() -> None:
    """CH-14: hashes that are none and clients nobody stands behind are found at start."""
    settings = BuiltinSettings(
        clients={"a": BuiltinClient("plain", "u"), "b": BuiltinClient(cheap_hash("x"))},
        users={"u": BuiltinUser("plain"), "v": BuiltinUser()},
    )
    assert [problem.partition(":")[0] for problem in check(settings)] == [
        "auth.builtin.clients.a.secret",
        "auth.builtin.users.u.password",
        "auth.builtin.users.v.password",
        "auth.builtin.clients.b.user",
    ]
    assert check(BUILTIN) == []


@pytest.mark.parametrize("scopes", [[], ["root"]])
def test_scopes_are_checked(scopes: list[str]) -> None:
    """CH-14: a client or user has some of our scopes, so that none gets the default ones."""
    with pytest.raises(ValueError, match="must"):
        BuiltinUser(cheap_hash("x"), scopes)
