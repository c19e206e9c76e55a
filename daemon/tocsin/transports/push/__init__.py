"""Pushes to phones: one attempt over HTTP/2, and the connections and credentials for it."""
