"""Requests to the daemon, as its clients make them."""

from collections.abc import Mapping
from typing import Any

import attrs
import httpx
import orjson

from tocsin.demo.errors import DemoError

TIMEOUT = 10.0


@attrs.frozen
class Rest:
    """Somebody with a token at one listener (host:port)."""

    address: str
    token: str = attrs.field(repr=False)

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        """GET; DemoError for anything but 2xx."""
        answer = await self._ask("GET", path, params=params)
        found: dict[str, Any] = orjson.loads(answer.content)
        return found

    async def post(self, path: str, document: object) -> Any:
        """POST; DemoError for anything but 2xx."""
        answer = await self._ask("POST", path, body=orjson.dumps(document))
        return orjson.loads(answer.content)

    async def _ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: bytes = b""
    ) -> httpx.Response:
        # A client for each request: one that is cancelled leaves nothing behind for the next.
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        url = f"http://{self.address}{path}"
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
                answer = await client.request(
                    method, url, params=params, headers=headers, content=body
                )
        except httpx.HTTPError as error:
            raise DemoError(f"{method} {path}: {type(error).__name__}") from None
        if not answer.is_success:
            raise DemoError(f"{method} {path}: answered {answer.status_code} {answer.text}")
        return answer
