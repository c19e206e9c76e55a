"""Secrets to look for, and everything a daemon says in which they must not be.

planted = Planted(daemon)
planted.secret("a webhook's secret", "whsec_...")
await planted.ask("POST", "/v1/notifications", body, bearer=bearer)
await planted.look_around()
assert planted.found() == []
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import attrs
from tests.end_to_end.daemon import Daemon, token
from tests.fakes import raw_http
from tests.fakes.raw_http import Answer

ADMIN = "/admin/v1"
LISTS = ("channels", "lanes", "deadletters", "apps", "tokens/revoked")
SHORTEST = 8
STORE = "tocsin.db"


@attrs.define
class Planted:
    """The secrets by what they are, and what was said by where; `kept` may stand in the store."""

    daemon: Daemon
    secrets: dict[str, set[str]] = attrs.field(factory=dict)
    kept: set[str] = attrs.field(factory=set)
    said: list[tuple[str, str]] = attrs.field(factory=list)

    def message(self, what: str, text: str) -> str:
        """Look for what somebody says, but not where it is kept to be delivered."""
        self.kept.add(what)
        return self.secret(what, text)

    def secret(self, what: str, text: str) -> str:
        """Look for this, too, in the spellings that it has in URLs, JSON and base64; of a token,
        for its claims and its signature."""
        parts = text.split(".")[1:] if text.startswith("eyJ") else [text]
        for part in parts:
            assert len(part) >= SHORTEST, what
            encoded = base64.b64encode(part.encode()).decode().rstrip("=")
            spellings = {part, quote(part, safe=""), json.dumps(part)[1:-1], encoded}
            self.secrets.setdefault(what, set()).update(spellings)
        return text

    def lines(self, what: str, text: str) -> str:
        """The same for each line of a key; those around it are no secret."""
        for line in re.split(r"\\n|\n", text):
            if len(line) >= SHORTEST and "-----" not in line:
                self.secret(what, line)
        return text

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        bearer: str | None = None,
        headers: Mapping[str, str] | None = None,
        address: str = "",
    ) -> Answer:
        """One request. What refuses it is kept, for it may say too much."""
        fields = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        fields |= {"Content-Type": "application/json"} if raw else {}
        answer = await raw_http.fetch(
            address or self.daemon.public, method, path, {**fields, **(headers or {})}, raw
        )
        if answer.status >= 400:
            self.keep(f"error answer {len(self.said)}", answer)
        return answer

    def keep(self, where: str, answer: Answer) -> None:
        """An answer, head and all."""
        self.said.append((where, f"{answer.status} {dict(answer.headers)} {answer.body.decode()}"))

    async def admin(self, path: str) -> Any:
        """What an operator is shown."""
        answer = await self.ask(
            "GET",
            f"{ADMIN}/{path}",
            bearer=token("root", "admin"),
            address=self.daemon.admin,
        )
        assert answer.status == 200, answer
        self.keep(f"admin {path}", answer)
        return json.loads(answer.body)

    async def look_around(self) -> None:
        """All that the admin listener says, a page each and every channel by itself."""
        for path in LISTS:
            found = await self.admin(path)
            if path == "channels":
                for one in found["channels"]:
                    await self.admin(f"channels/{one['id']}")
                    await self.admin(f"deliveries?channel={one['id']}")
        for path in ("/metrics", "/readyz", "/livez"):
            self.keep(path, await self.ask("GET", path, address=self.daemon.admin))

    def found(self) -> list[tuple[str, str]]:
        """Which secret is said where."""
        return sorted(
            {
                (what, where)
                for where, text in [*self.said, *self._files()]
                for what, spellings in self.secrets.items()
                if any(spelling in text for spelling in spellings)
                and not (what in self.kept and where.startswith(STORE))
            }
        )

    def _files(self) -> Iterator[tuple[str, str]]:
        """The log, the store with its own log, and what lies beside it."""
        yield "log", self.daemon.log
        for file in (self.daemon.folder / "state").iterdir():
            yield file.name, file.read_text(encoding="latin-1")
