"""tocsin.ops.metrics (OP-15)."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tocsin.model.channel import ChannelType
from tocsin.model.services import STANDARD
from tocsin.ops.metrics import Metrics

REQUIRED = [
    "build_info",
    "channels",
    "subscriptions",
    "ws_connections",
    "ws_closed_total",
    "ws_queue_bytes",
    "ws_slow_consumers_total",
    "ws_resumes_total",
    "notifications_accepted_total",
    "notifications_rejected_total",
    "deliveries_total",
    "delivery_attempts_total",
    "delivery_latency_seconds_count",
    "attempt_duration_seconds_count",
    "queue_depth",
    "queue_oldest_age_seconds",
    "dead_letters",
    "lanes_blocked",
    "loop_lag_seconds_count",
    "store_commit_seconds_count",
    "store_commit_batch_size_count",
    "http_requests_total",
    "config_last_reload_success_timestamp_seconds",
]


def sample_names(metrics: Metrics) -> set[str]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {sample.name for family in families for sample in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"tocsin_{name}", labels)


def test_every_series_is_there_from_the_start() -> None:
    """The required metrics have samples before anything has happened."""
    names = sample_names(Metrics())
    assert {f"tocsin_{name}" for name in REQUIRED} <= names
    assert not [name for name in names if name.endswith("_created")]


def test_labels_are_closed_sets() -> None:
    """A value nobody foresaw is counted as `other`; neither an error nor a new series."""
    metrics = Metrics()
    before = metrics.exposition().count(b"\n")
    metrics.notifications_rejected["never heard of"].inc()
    metrics.deliveries["Webhooks", "lost"].inc()
    metrics.deliveries["pigeon", "delivered"].inc()
    metrics.http_requests["BREW", 418].inc()
    assert value(metrics, "notifications_rejected_total", reason="other") == 1
    assert value(metrics, "deliveries_total", type="Webhooks", outcome="other") == 1
    assert value(metrics, "deliveries_total", type="other", outcome="delivered") == 1
    assert value(metrics, "http_requests_total", method="other", status="other") == 1
    assert metrics.exposition().count(b"\n") == before


def test_declared_services_are_labels() -> None:
    """What an operator declares is counted by its name, what nobody did as `other` (CH-97)."""
    metrics = Metrics([*STANDARD.names, "tickets"])
    for name in ("tickets", "sms", "fax"):
        metrics.notifications_accepted[name].inc()
        metrics.subscriptions[name].inc()
    for label in ("tickets", "sms", "other"):
        assert value(metrics, "notifications_accepted_total", service=label) == 1
        assert value(metrics, "subscriptions", service=label) == 1
    assert value(Metrics(), "subscriptions", service="tickets") is None


def test_the_models_own_values_are_labels() -> None:
    """Channel types and whole numbers serve as keys without being converted."""
    metrics = Metrics()
    metrics.deliveries[ChannelType.WEBHOOKS, "delivered"].inc()
    metrics.http_requests["GET", 200].inc()
    metrics.ws_closed[1012].inc()
    metrics.delivery_latency[ChannelType.WEBSOCKETS].observe(0.002)
    assert value(metrics, "deliveries_total", type="Webhooks", outcome="delivered") == 1
    assert value(metrics, "http_requests_total", method="GET", status="200") == 1
    assert value(metrics, "ws_closed_total", code="1012") == 1
    assert value(metrics, "delivery_latency_seconds_bucket", type="websockets", le="0.0025") == 1


def test_wrong_number_of_labels_is_a_bug() -> None:
    """A key with a label missing is an error at once, not a count in the wrong place."""
    with pytest.raises(ValueError, match="zip"):
        Metrics().deliveries["Webhooks", "delivered", "extra"].inc()


def test_two_daemons_do_not_share() -> None:
    """Each instance has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.ws_connections.set(5)
    assert value(other, "ws_connections") == 0


def test_samplers_run_at_refresh() -> None:
    """Gauges that are read on demand are set right before an exposition."""
    metrics = Metrics()
    metrics.sample(lambda: metrics.ws_queue_bytes.set(7))
    assert value(metrics, "ws_queue_bytes") == 0
    metrics.refresh()
    assert value(metrics, "ws_queue_bytes") == 7


def test_names_follow_the_conventions() -> None:
    """Prefix, help, base units, and `_total` on counters and only there."""
    metrics = Metrics()
    metrics.watch_task("store")
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    for family in families:
        assert re.fullmatch(r"(tocsin|process)_[a-z_]+", family.name)
        assert family.documentation
        assert not re.search(r"_(ms|milliseconds|kb|minutes|count|sum|info_total)$", family.name)
        samples = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert samples == {f"{family.name}_total"}
        else:
            assert not [name for name in samples if name.endswith("_total")]
