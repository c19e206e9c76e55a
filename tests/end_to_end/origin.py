"""An origin for pages: serves the files in `pages/` and collects what the pages report."""

from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import h11
import orjson
import trio

PAGES = Path(__file__).parent / "pages"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
REPORTS = "/reports"
# With so many unread, a page waits with its next report until the test has read one.
WAITING_REPORTS = 1000
READ_AT_ONCE = 65_536


class Origin:
    """A web server on a port of its own, and the reports its pages have POSTed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._collect, self.reports = trio.open_memory_channel[dict[str, Any]](WAITING_REPORTS)

    @classmethod
    async def start(cls, nursery: trio.Nursery) -> Self:
        """Serve on a free port of loopback until the nursery is cancelled."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        origin = cls(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        nursery.start_soon(partial(trio.serve_listeners, origin._serve, [listener]))
        return origin

    def close(self) -> None:
        """No report will come any more: `reports` ends after those that wait."""
        self._collect.close()

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while (answer := await self._answer(stream, connection)) is not None:
                await stream.send_all(answer)
                connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the browser, or who collects its reports, has gone
        finally:
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.SocketStream, connection: h11.Connection) -> bytes | None:
        """The whole answer to the next request; None when there is none."""
        request = await _event(stream, connection)
        if not isinstance(request, h11.Request):
            return None
        body = b""
        while isinstance(event := await _event(stream, connection), h11.Data):
            body += event.data
        target = request.target.decode()
        if target == REPORTS:
            await self._collect.send(orjson.loads(body))
            return _rendered(connection, 204, {}, b"")
        file = PAGES / target.removeprefix("/")
        if file.parent != PAGES or not file.is_file():
            return _rendered(connection, 404, {"Content-Length": "0"}, b"")
        content = file.read_bytes()
        headers = {"Content-Type": TYPES[file.suffix], "Content-Length": str(len(content))}
        return _rendered(connection, 200, headers, content)


def _rendered(
    connection: h11.Connection, status: int, headers: dict[str, str], body: bytes
) -> bytes:
    head = h11.Response(
        status_code=status, reason=HTTPStatus(status).phrase, headers=list(headers.items())
    )
    events = (head, h11.Data(body), h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)


async def _event(stream: trio.SocketStream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(bytes(await stream.receive_some(READ_AT_ONCE)))
    return event
