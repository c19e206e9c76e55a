"""Tokens of our own making work, and nothing secret is ever logged (CH-14, OP-17, SE-7)."""

from pathlib import Path
from urllib.parse import urlencode

import jwt
import pytest
import trio
from tests.end_to_end.clients import PREFIX, Platform, User, chat, text_of
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.http_connection import Answer, get, http_connection
from tests.end_to_end.notification_socket import open_socket
from tests.fakes import receiver

from tocsin.wire.scrypt import hashed

pytestmark = pytest.mark.end_to_end

PASSWORD = "planted-password"
CLIENT_SECRET = "planted-client-secret"
AUTHORIZATION = "Bearer planted-authorization"
TEXT = "planted-message-text"


def issuing() -> dict[str, object]:
    """Settings of a daemon with a token endpoint, that logs all it ever logs."""
    client, user = "auth.builtin.clients.platform", 'auth.builtin.users."alice@example.com"'
    return {
        "log.level": "debug",
        "auth.builtin.enabled": True,
        f"{client}.secret": str(hashed(CLIENT_SECRET, bytes(16))),
        f"{client}.user": "platform",
        f"{client}.scopes": ["publish"],
        f"{user}.password": str(hashed(PASSWORD, bytes(range(16)))),
        f"{user}.scopes": ["channels"],
        "delivery.webhook_retries": [0.05] * 20,
    }


async def log_in(daemon: Daemon, **form: str) -> Answer:
    """One request to the token endpoint."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http_connection(daemon.public) as connection:
        body = urlencode({"client_id": "platform", "scope": "openid", **form}).encode()
        return await connection.request("POST", f"{PREFIX}/auth/v1/token", body, headers)


async def test_the_whole_way_with_tokens_of_our_own(tmp_path: Path, nursery: trio.Nursery) -> None:
    """CH-14, CH-10: the tokens of both grants do what their scopes say and no more, also in the
    socket's query. OP-17, SE-7: with every event logged, passwords, secrets, tokens, webhook
    authorizations and message texts are not in the log, failures included."""
    hook = await receiver.start(nursery, answers=[receiver.reply(500)])
    async with Daemon(tmp_path, issuing()) as daemon:
        project = await log_in(daemon, grant_type="client_credentials", client_secret=CLIENT_SECRET)
        login = await log_in(
            daemon, grant_type="password", username="alice@example.com", password=PASSWORD
        )
        refused = await log_in(
            daemon, grant_type="password", username="alice@example.com", password=PASSWORD + "!"
        )
        assert (project.status, login.status, refused.status) == (200, 200, 400)
        assert refused.json()["error"] == "invalid_grant"
        names = jwt.decode(login.json()["id_token"], options={"verify_signature": False})
        assert names["preferred_username"] == "alice@example.com"

        user = User(daemon, "alice@example.com", bearer=login.json()["access_token"])
        channel = await user.socket_channel()
        await user.webhook_channel(hook.port, **{"x-authorization": AUTHORIZATION})
        publisher = Platform(daemon, bearer=project.json()["access_token"])
        await publisher.publish(chat(user.name, TEXT))
        async with open_socket(user, channel) as socket:
            assert [text_of(one) for one in await socket.texts(1)] == [TEXT]
        await until(lambda: len(hook.requests) == 2, "the webhook is called, and called again")
        assert hook.requests[-1].headers["authorization"] == AUTHORIZATION

        forbidden = await Platform(daemon, bearer=user.bearer).post(chat(user.name, TEXT))
        forged = f"{user.bearer[:-4]}AAAA"
        unknown = await Platform(daemon, bearer=forged).post(chat(user.name, TEXT))
        path = f"{user.channels}/{channel}/websocket?access_token="
        by_query = [
            (await get(daemon.public, path + bearer)).status for bearer in (user.bearer, forged)
        ]
        assert (forbidden.status, unknown.status, by_query) == (403, 401, [426, 401])
        daemon.terminate()
        assert await daemon.exit_status() == 0

    bearers = [project.json()["access_token"], *map(login.json().get, ("access_token", "id_token"))]
    signatures = [str(bearer).split(".")[2] for bearer in bearers]
    planted = [PASSWORD, CLIENT_SECRET, "planted-authorization", TEXT, *signatures, "AAAA"]
    assert '"event":"delivery.attempted"' in daemon.log
    assert [secret for secret in planted if secret in daemon.log] == []
