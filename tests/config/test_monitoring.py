"""config/prometheus and config/grafana: what an operator watches the daemon by (OP-15, OP-16)."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tocsin.ops.metrics import Metrics

CONFIG = Path(__file__).parents[2] / "config"
ALERTS = CONFIG / "prometheus" / "alerts.yml"
ALERT_TESTS = CONFIG / "prometheus" / "alerts_test.yml"
DASHBOARD = CONFIG / "grafana" / "tocsin.json"
METRIC = re.compile(r"\b(?:tocsin|process)_[a-z_]+\b")
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None and "TOCSIN_REQUIRE_PEERS" not in os.environ, reason="no promtool"
)


def promtool(*arguments: str | Path, given: bytes | None = None) -> str:
    """What it says; fails where it is not content."""
    assert PROMTOOL is not None, "promtool is not installed"
    done = subprocess.run(
        [PROMTOOL, *arguments],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    return said


def exposed() -> set[str]:
    """Names of all series there are from the start."""
    metrics = Metrics()
    metrics.watch_task("queue")
    text = metrics.exposition().decode()
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}


def expressions(node: Any) -> Iterator[str]:
    """Every query of a dashboard, those of its variables too."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in {"expr", "definition"}:
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


@needs_promtool
def test_metrics_are_in_order() -> None:
    """OP-15: promtool finds nothing to say about names, types and help texts."""
    assert promtool("check", "metrics", given=Metrics().exposition()) == ""


@needs_promtool
def test_alerts_are_rules() -> None:
    """OP-16: Prometheus can load them."""
    assert "SUCCESS" in promtool("check", "rules", ALERTS)


@needs_promtool
def test_alerts_fire() -> None:
    """OP-16: each alert fires when it should, by its own unit test."""
    assert "SUCCESS" in promtool("test", "rules", ALERT_TESTS)


def test_every_alert_has_a_test() -> None:
    """OP-16: none was added without one."""
    alerts = set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))
    tested = re.findall(
        r"- alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:\n", ALERT_TESTS.read_text()
    )
    assert alerts
    assert alerts == set(tested)


def test_alerts_name_metrics_that_exist() -> None:
    """OP-16: an alert about a series nobody exposes would never fire."""
    named = set(METRIC.findall(ALERTS.read_text()))
    assert named
    assert named <= exposed()


def test_dashboard_names_metrics_that_exist() -> None:
    """OP-16: every query of the dashboard has something to find."""
    queries = list(expressions(json.loads(DASHBOARD.read_text())))
    assert len(queries) > 30
    for query in queries:
        named = METRIC.findall(query)
        assert named, query
        assert set(named) <= exposed(), query
