"""Where everything durable is kept; records and finding work, no rules."""
