"""`/push/report/{name}`: where phone apps report their device tokens (push.md, A.8)."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import attrs
import trio

from tocsin.delivery.pushsettings import ReporterSettings
from tocsin.delivery.reporters import Reporter
from tocsin.model.errors import unauthorized
from tocsin.server.limits import FailedAuthentications
from tocsin.server.router import Authorize, Router
from tocsin.wire.push.report import members_of, parse_removal, parse_report
from tocsin.wire.request import Request
from tocsin.wire.response import Response

SCOPE: Final = "push"

Handle = Callable[[Mapping[str, str]], Awaitable[None]]


@attrs.frozen
class Reporting:
    """One reporter, and how its reports prove themselves and what they call things."""

    name: str
    settings: ReporterSettings
    reporter: Reporter

    @property
    def fields(self) -> dict[str, str]:
        """What we call a field -> what the request calls it."""
        return attrs.asdict(self.settings.fields)

    async def report(self, members: Mapping[str, str]) -> None:
        """Take a report in."""
        await self.reporter.report(parse_report(members, self.fields))

    async def remove(self, members: Mapping[str, str]) -> None:
        """Forget what was reported."""
        await self.reporter.remove(*parse_removal(members, self.fields))


class ReporterFace:
    """The endpoints of all reporters.

    `admit` says who may push, also without a token (PU-9), for reporters that go by the network;
    `failures` counts wrong secrets, as the server counts bad tokens.
    """

    def __init__(
        self,
        reporters: Mapping[str, tuple[ReporterSettings, Reporter]],
        *,
        admit: Authorize,
        failures: FailedAuthentications,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._reporters = [Reporting(name, *one) for name, one in reporters.items()]
        self._admit = admit
        self._failures = failures
        self._now = now

    def add_routes(self, router: Router) -> None:
        """Declare the routes of each reporter; tokens are judged before anything is read."""
        for one in self._reporters:
            path = f"/push/report/{one.name}"
            for method, pattern, handle in (
                ("GET", path, one.report),
                ("POST", path, one.report),
                ("POST", f"{path}/remove", one.remove),
            ):
                router.add(
                    method,
                    pattern,
                    partial(self._serve, one.settings, handle),
                    scope=None if one.settings.auth == "secret" else SCOPE,
                    authorize=self._admit if one.settings.auth == "network" else None,
                    json=False,
                )

    async def _serve(
        self, settings: ReporterSettings, handle: Handle, request: Request
    ) -> Response:
        """200 without a body once it is stored, also for the same again."""
        members = members_of(request)
        if settings.auth == "secret":
            self._check_secret(settings, members.get(settings.fields.secret), request)
        await handle(members)
        return Response(200)

    def _check_secret(
        self, settings: ReporterSettings, given: str | None, request: Request
    ) -> None:
        """Raises 401, or 429 for an address that keeps failing (PU-24, SE-10)."""
        secret = (settings.secret or "").encode()
        if secret and hmac.compare_digest((given or "").encode(), secret):
            return
        self._failures.count(request.peer, self._now())
        raise unauthorized("token_invalid" if given else "token_missing")
