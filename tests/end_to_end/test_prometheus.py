"""A real Prometheus looks at the daemon (OP-15, OP-16)."""

import json
import os
import shutil
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest
import trio
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.http_connection import get

PROMETHEUS = shutil.which("prometheus")
RULES = Path(__file__).parents[2] / "config" / "prometheus" / "alerts.yml"

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        PROMETHEUS is None and "TOCSIN_REQUIRE_PEERS" not in os.environ, reason="no prometheus"
    ),
]

# Each as an expression that is 1 on a daemon that is well.
SERIES = (
    *('up{job="tocsin"}', "tocsin_ready"),
    *("tocsin_store_bytes > bool 0", "tocsin_store_free_bytes > bool 0"),
)
CONFIG = """
global: {{scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: tocsin
    static_configs: [{{targets: ["{target}"]}}]
"""


async def answered(address: str, expression: str) -> list[float]:
    """The values of an instant query; none while Prometheus is not up."""
    try:
        answer = await get(address, f"/api/v1/query?{urlencode({'query': expression})}")
        result = json.loads(answer.body)["data"]["result"]
    except (OSError, ValueError, KeyError):
        return []
    return [float(series["value"][1]) for series in result]


async def is_true(address: str, expression: str) -> bool:
    """Whether the one series of an instant query has the value 1."""
    return await answered(address, expression) == [1.0]


async def test_it_is_scraped(tmp_path: Path, port: int) -> None:
    """OP-15, OP-16: it is up, its series are there by their names, the alert rules are loaded and
    none fires on a daemon that is well."""
    assert PROMETHEUS is not None, "prometheus is not installed"
    address = f"127.0.0.1:{port}"
    async with Daemon(tmp_path) as daemon:
        config = tmp_path / "prometheus.yml"
        config.write_text(CONFIG.format(rules=RULES, target=daemon.admin))
        arguments = (
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address={address}",
        )
        with (tmp_path / "prometheus.log").open("wb") as log:
            process = await trio.lowlevel.open_process(
                [PROMETHEUS, *arguments], stdout=log, stderr=log
            )
        try:
            for series in SERIES:
                await until(partial(is_true, address, series), f"prometheus has {series}")
            rules = json.loads((await get(address, "/api/v1/rules")).body)["data"]["groups"]
            assert {rule["health"] for group in rules for rule in group["rules"]} <= {
                "ok",
                "unknown",
            }
            assert await answered(address, 'ALERTS{alertstate="firing"}') == []
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
