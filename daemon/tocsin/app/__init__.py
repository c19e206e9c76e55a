"""The composition root: configuration in, a running daemon out. Only this knows everybody."""

from tocsin.app.lifecycle import App

__all__ = ["App"]
