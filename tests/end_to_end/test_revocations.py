"""A revoked token stays revoked whatever becomes of the process (SE-3, SE-12)."""

from pathlib import Path

import orjson
import pytest
from tests.end_to_end.clients import User
from tests.end_to_end.daemon import Daemon, token
from tests.end_to_end.http_connection import http_connection
from tests.end_to_end.notification_socket import (
    HandshakeRefusedError,
    open_socket,
)

pytestmark = pytest.mark.end_to_end

ALICE = "alice@example.com"


async def revoke(daemon: Daemon, name: dict[str, str]) -> None:
    """An admin's word, which was taken."""
    headers = {"Authorization": f"Bearer {token('root', 'admin')}"}
    async with http_connection(daemon.admin) as connection:
        answer = await connection.request(
            "POST", "/admin/v1/tokens/revoke", orjson.dumps(name), headers
        )
    assert answer.status == 204, answer.body


@pytest.mark.parametrize("engine", ["reactor", "trio-websocket"])
async def test_revoked_and_killed(tmp_path: Path, engine: str) -> None:
    """SE-3, SE-12: the socket is closed 4401 by either engine; after a kill right behind the answer
    the token is refused as before, on REST and on the socket, and another one is not; nothing in
    the log gives a token away."""
    async with Daemon(tmp_path, {"ws.engine": engine, "log.level": "debug"}) as daemon:
        user, other = User(daemon, ALICE), User(daemon, "bob@example.com")
        carol = User(daemon, "carol@example.com")
        channel = await user.socket_channel()
        async with open_socket(user, channel) as socket:
            await revoke(daemon, {"token": user.bearer})
            assert await socket.closed() == 4401
        await revoke(daemon, {"user": carol.name})
        await daemon.kill()
        await daemon.start()
        statuses = [(await one.call("GET", one.channels)).status for one in (user, carol, other)]
        assert statuses == [401, 401, 200]
        with pytest.raises(HandshakeRefusedError) as refused:
            async with open_socket(user, channel):
                pass
        assert refused.value.status == 401
        daemon.terminate()
        assert await daemon.exit_status() == 0
    assert "token.revoked" in daemon.log
    assert user.bearer.rpartition(".")[2] not in daemon.log
