"""Bytes that wait for a slow reader; there is one only while something waits.

Frames are kept as they are, shared with all other receivers of the same notification, and many
of them leave in one `sendmsg`.
"""

import socket
from collections import deque
from itertools import islice

FRAMES_PER_SEND = 256


class Outbox:
    """A queue of bytes; whoever puts something in looks at `size` first."""

    __slots__ = ("_waiting", "size")

    def __init__(self, rest: memoryview) -> None:
        self._waiting: deque[bytes | memoryview] = deque([rest])
        self.size = len(rest)

    def put(self, data: bytes) -> None:
        """Append a frame."""
        self._waiting.append(data)
        self.size += len(data)

    def send(self, sock: socket.socket) -> None:
        """Send as much as the kernel takes at once; OSError as `sendmsg` raises it."""
        sent = sock.sendmsg(list(islice(self._waiting, FRAMES_PER_SEND)))
        self.size -= sent
        while sent:
            head = self._waiting.popleft()
            if len(head) > sent:
                self._waiting.appendleft(memoryview(head)[sent:])
                return
            sent -= len(head)
