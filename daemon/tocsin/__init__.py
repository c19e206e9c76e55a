"""tocsin: a notification delivery daemon."""

__version__ = "0.1.0"
