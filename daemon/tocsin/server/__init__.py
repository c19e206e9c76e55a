"""Ways in: listeners, HTTP, sockets, and the faces served on them."""
