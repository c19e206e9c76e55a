"""The operator API: what is known of the apps on phones (push.md, PU-48, PU-49)."""

from typing import Final

import orjson

from tocsin.delivery.devices import Devices
from tocsin.delivery.pushapps import AppRegistry
from tocsin.model.errors import not_found
from tocsin.server.http import json_body
from tocsin.server.operator import ADMIN, PREFIX
from tocsin.server.operatorquery import since_of
from tocsin.server.operatorview import app_view
from tocsin.server.router import Router
from tocsin.wire.request import Request
from tocsin.wire.response import Response

APPS: Final = f"{PREFIX}/apps"


class OperatorPushFace:
    """Handlers for apps: whether their tokens are removed, and those that were by mistake."""

    def __init__(self, apps: AppRegistry, devices: Devices) -> None:
        self._apps = apps
        self._devices = devices

    def add_routes(self, router: Router) -> None:
        """Declare the routes."""
        for method, pattern, handler in (
            ("GET", APPS, self.list_apps),
            ("POST", f"{APPS}/{{app}}/clear", self.clear_guard),
            ("POST", f"{APPS}/{{app}}/restore", self.restore),
        ):
            router.add(method, pattern, handler, scope=ADMIN, cors=False)

    async def list_apps(self, _request: Request) -> Response:
        """GET: the registered apps, and those whose removal guard has tripped."""
        guarded = set(self._devices.guarded_apps())
        return _answer({"apps": [app_view(one, guarded=one.id in guarded) for one in self._apps]})

    async def clear_guard(self, request: Request) -> Response:
        """POST: believe again what the provider says of this app's tokens."""
        if not self._devices.clear_guard(request.path_values["app"]):
            raise not_found("app")
        return Response(204)

    async def restore(self, request: Request) -> Response:
        """POST `{"since": ...}`: bring back what was removed for its tokens since then, of the
        last day at most (PU-48)."""
        app_id = request.path_values["app"]
        if self._apps.find(app_id) is None:
            raise not_found("app")
        since = since_of(json_body(request))
        return _answer({"restored": await self._devices.restore(app_id, since)})


def _answer(members: dict[str, object]) -> Response:
    return Response(200, orjson.dumps(members))
