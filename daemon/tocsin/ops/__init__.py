"""Running it: logs, metrics, supervision, systemd."""
