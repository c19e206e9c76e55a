"""tocsin.demo.phone and tocsin.demo.credentials: the stand-in, as the daemon's pool meets it."""

import stat
import time
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tocsin.demo.credentials import HOST, Credentials
from tocsin.demo.phone import DEVICE_TOKEN, phone
from tocsin.model.notification import Priority
from tocsin.transports.push.call import Reply, Result
from tocsin.transports.push.pool import Http2Pool
from tocsin.transports.push.tls import ConnectError, Origin, client_context, dial
from tocsin.wire.http2.headers import encode

FIXED = encode([(b":method", b"POST"), (b":scheme", b"https"), (b":authority", HOST.encode())])


async def pushed(port: int, authority: Path, *tokens: str) -> list[Result]:
    """What a pool that trusts this authority is answered to a push to each of these devices."""
    context = client_context(str(authority))
    pool = Http2Pool(Origin(HOST, port), ssl_context=context, connections=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)  # noqa: ASYNC113 - posts wait for it
        results = [
            await pool.post(
                FIXED,
                [(b":path", f"/3/device/{token}".encode())],
                token.encode(),
                deadline=trio.current_time() + 30,
                priority=Priority.NORMAL,
            )
            for token in tokens
        ]
        nursery.cancel_scope.cancel()
    return results


async def test_pushes_arrive(tmp_path: Path) -> None:
    """Over TLS that the daemon's own pool verifies, each push to the phone is handed over and
    answered 200; one to another device is neither."""
    arrived: list[bytes] = []
    made = Credentials.make(tmp_path, time.time())
    async with phone(made, arrived.append) as port:
        found = await pushed(port, made.certificate, DEVICE_TOKEN, "cd" * 32, DEVICE_TOKEN)
    assert [one.status for one in found if isinstance(one, Reply)] == [200, 400, 200]
    assert arrived == [DEVICE_TOKEN.encode()] * 2


async def test_nobody_else_believes_it(tmp_path: Path) -> None:
    """Who does not know the certificate does not talk to it, which harms nobody else."""
    made = Credentials.make(tmp_path, time.time())
    async with phone(made, lambda _body: None) as port:
        with pytest.raises(ConnectError):
            await dial(Origin(HOST, port), client_context())
        [reply] = await pushed(port, made.certificate, DEVICE_TOKEN)
    assert isinstance(reply, Reply)


def test_credentials(tmp_path: Path) -> None:
    """The key of the server is for its owner's eyes; the push key is another one."""
    made = Credentials.make(tmp_path, time.time())
    assert stat.S_IMODE(made.server_key.stat().st_mode) == 0o600
    assert made.push_key != made.server_key.read_text()
    assert made.push_key not in repr(made)
    load_pem_private_key(made.push_key.encode(), None)
