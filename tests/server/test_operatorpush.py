"""The operator API: apps on phones and their tokens, over the wire (PU-48, PU-49)."""

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Answer, Daemon, daemon
from tests.fakes.pushkeys import push_section

APPS: dict[str, Any] = {"com.x": {"provider": "apns"}, "droid": {"provider": "fcm"}}


async def ask(running: Daemon, method: str, path: str, body: object = None) -> Answer:
    """A request to the operator API."""
    address = running.app.admin_addresses[0]
    return await running.ask(method, f"/admin/v1{path}", body, address=address, scope="admin")


async def test_the_apps(tmp_path: Path) -> None:
    """Those that are registered, with the key and the lane of each, and nothing of a secret."""
    async with daemon(tmp_path, push=push_section(APPS)) as running:
        answer = await ask(running, "GET", "/apps")
        found = {one.pop("id"): one for one in answer.json["apps"]}
        assert {name: (one["provider"], one["lane"]) for name, one in found.items()} == {
            "com.x": ("apns", "apns/com.x"),
            "droid": ("fcm", "fcm/droid"),
        }
        assert found["com.x"].keys() == {"provider", "key", "kind", "lane", "guarded"}
        assert not any(one["guarded"] for one in found.values())


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("/apps/com.x/clear", None, (404, "SVC0004", ["app"])),
        ("/apps/nobody/clear", None, (404, "SVC0004", ["app"])),
        ("/apps/nobody/restore", {"since": 0}, (404, "SVC0004", ["app"])),
        ("/apps/com.x/restore", {}, (400, "SVC0002", ["since"])),
        ("/apps/com.x/restore", {"since": "yesterday"}, (400, "SVC0002", ["since"])),
        ("/apps/com.x/restore", {"since": 0, "until": 1}, (400, "SVC0002", ["until"])),
        ("/apps/com.x/restore", [], (400, "SVC0002", ["body"])),
    ],
)
async def test_what_is_refused(
    tmp_path: Path, path: str, body: object, refusal: tuple[int, str, list[str]]
) -> None:
    """A guard that has not tripped, apps nobody registered, times nobody understands."""
    async with daemon(tmp_path, push=push_section(APPS)) as running:
        assert (await ask(running, "POST", path, body)).refusal == refusal


async def test_nothing_to_restore(tmp_path: Path) -> None:
    """Is no mistake."""
    async with daemon(tmp_path, push=push_section(APPS)) as running:
        answer = await ask(running, "POST", "/apps/com.x/restore", {"since": 0})
        assert (answer.status, answer.json) == (200, {"restored": 0})
