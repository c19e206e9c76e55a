"""A small HTTP client: h11 over a Trio stream, nothing kept behind the test's back.

What a daemon answers is held against its description.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import orjson
import trio
from tests.fakes.described import Exchanged, check_at


@attrs.frozen
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class HttpConnection:
    """A connection that may carry several requests, one at a time."""

    def __init__(self, stream: trio.abc.Stream, address: str = "") -> None:
        self._stream = stream
        self._address = address
        self._h11 = h11.Connection(h11.CLIENT)

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and wait for its answer; ConnectionError when none comes."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        fields = {"Host": "localhost", "Content-Length": str(len(body)), **(headers or {})}
        await self._send(h11.Request(method=method, target=path, headers=list(fields.items())))
        await self._send(h11.Data(body))
        await self._send(h11.EndOfMessage())
        head = await self._event()
        assert isinstance(head, h11.Response), head
        content = b""
        while isinstance(event := await self._event(), h11.Data):
            content += event.data
        names = {name.decode(): value.decode() for name, value in head.headers}
        sent_type = {name.lower(): value for name, value in fields.items()}.get("content-type")
        status = head.status_code
        check_at(self._address, Exchanged(method, path, body, sent_type, status, names, content))
        return Answer(status, names, content)

    async def _send(self, event: h11.Event) -> None:
        try:
            await self._stream.send_all(self._h11.send(event) or b"")
        except trio.BrokenResourceError as error:
            raise ConnectionError("broken while sending") from error

    async def _event(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            try:
                data = await self._stream.receive_some()
            except trio.BrokenResourceError as error:
                raise ConnectionError("broken while receiving") from error
            if not data:
                raise ConnectionError("closed instead of answering")
            self._h11.receive_data(data)
        return event


@asynccontextmanager
async def http_connection(address: str) -> AsyncIterator[HttpConnection]:
    """A connection to `host:port`; OSError when there is none to be had."""
    host, _, port = address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        yield HttpConnection(stream, address)


async def get(address: str, path: str) -> Answer:
    """GET over a connection of its own."""
    async with http_connection(address) as connection:
        return await connection.request("GET", path)
