"""A local stand-in for Apple's push service, and the one phone behind it."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from tocsin.demo.credentials import HOST, Credentials
from tocsin.demo.pushserver import PushServer
from tocsin.wire.http2.frames import ConnectionViolation

APP = "com.example.app"
DEVICE_TOKEN = "ab" * 32
PIECE = 16_384


@asynccontextmanager
async def phone(credentials: Credentials, arrived: Callable[[bytes], None]) -> AsyncIterator[int]:
    """APNs on a free port, which is what is given: HTTP/2 over TLS, every push taken.

    `arrived` gets the payload of each push to `DEVICE_TOKEN` before that is answered.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials.certificate, credentials.server_key)
    context.set_alpn_protocols(["h2"])
    [listener] = await trio.open_tcp_listeners(0, host=HOST)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            trio.serve_listeners, partial(_serve, context=context, arrived=arrived), [listener]
        )
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _serve(
    tcp: trio.SocketStream, *, context: ssl.SSLContext, arrived: Callable[[bytes], None]
) -> None:
    stream = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
    try:
        await _talk(stream, arrived)
    except (trio.BrokenResourceError, ConnectionViolation):
        pass  # the daemon connects again
    finally:
        await trio.aclose_forcefully(stream)


async def _talk(stream: trio.abc.Stream, arrived: Callable[[bytes], None]) -> None:
    server = PushServer()
    data = b""
    while True:
        for push in server.receive(data):
            if push.headers.get(":path") == f"/3/device/{DEVICE_TOKEN}":
                arrived(push.body)
                server.answer(push)
            else:
                server.answer(push, 400)
        await stream.send_all(server.outgoing())
        data = bytes(await stream.receive_some(PIECE))
        if not data:
            return
