"""Pushing to phones, without I/O: what callers ask for, what providers are told and answer."""
