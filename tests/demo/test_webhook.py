"""tocsin.demo.webhook: a receiver that comes and goes (OP-2)."""

from collections.abc import Iterator

import pytest
import trio

from tocsin.demo.webhook import BODY_BYTES, OK, Webhook


@pytest.fixture
def bodies() -> list[bytes]:
    """What has arrived."""
    return []


@pytest.fixture
def webhook(bodies: list[bytes]) -> Iterator[Webhook]:
    """One on a port that is held."""
    with Webhook.reserve(bodies.append) as made:
        yield made


def post(body: bytes) -> bytes:
    return b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def answered(stream: trio.SocketStream, count: int) -> bytes:
    """So many bytes, or all there are before the end."""
    data = b""
    with trio.fail_after(30):
        while len(data) < count and (more := await stream.receive_some()):
            data += bytes(more)
    return data


async def test_requests(webhook: Webhook, bodies: list[bytes]) -> None:
    """Each is handed over and answered 200, on a connection that is kept, however it is cut."""
    async with webhook.up(), await trio.open_tcp_stream("127.0.0.1", webhook.port) as stream:
        await stream.send_all(post(b"one") + post(b"two")[:-1])
        assert await answered(stream, len(OK)) == OK
        assert bodies == [b"one"]
        await stream.send_all(b"o")
        assert await answered(stream, len(OK)) == OK
    assert bodies == [b"one", b"two"]


async def test_killed_and_started_again(webhook: Webhook, bodies: list[bytes]) -> None:
    """Before, between and after it is up nobody listens, and its connections are cut; it comes
    back on the same port."""
    for number in range(2):
        with pytest.raises(OSError, match=r"connect"):
            await trio.open_tcp_stream("127.0.0.1", webhook.port)
        async with webhook.up():
            stream = await trio.open_tcp_stream("127.0.0.1", webhook.port)
            await stream.send_all(post(b"%d" % number))
            assert await answered(stream, len(OK)) == OK
        async with stream:
            assert await answered(stream, 1) == b""
    assert bodies == [b"0", b"1"]
    with pytest.raises(OSError, match=r"connect"):
        await trio.open_tcp_stream("127.0.0.1", webhook.port)


@pytest.mark.parametrize("data", [b"\x16\x03\x01", post(bytes(BODY_BYTES + 1))[:-1]])
async def test_what_is_no_request_of_ours(
    webhook: Webhook, bodies: list[bytes], data: bytes
) -> None:
    """It ends its own connection and nothing else."""
    async with webhook.up():
        async with await trio.open_tcp_stream("127.0.0.1", webhook.port) as stream:
            with trio.fail_after(30):
                try:
                    await stream.send_all(data + bytes(2))
                    assert await answered(stream, 1) == b""
                except trio.BrokenResourceError:
                    pass
        async with await trio.open_tcp_stream("127.0.0.1", webhook.port) as stream:
            await stream.send_all(post(b"fine"))
            assert await answered(stream, len(OK)) == OK
    assert bodies == [b"fine"]
