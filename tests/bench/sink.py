"""A webhook receiver that answers 200 to everything, as a process of its own.

It prints the port it listens on; a line on its standard input is answered by a line with how
many requests came and how busy it was since the last one.
"""

import os
import re
import select
import socket
import time

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
RECEIVE = 1 << 16


class Sink:
    """Its listening socket, its connections, and the count."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(0, select.EPOLLIN)
        self._peers: dict[int, socket.socket] = {}
        self._rest: dict[int, bytes] = {}
        self._received = 0
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Answer until the standard input ends."""
        started, worked = time.monotonic(), time.process_time()
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._listener.fileno():
                    self._accept()
                elif descriptor != 0:
                    self._receive(descriptor)
                elif os.read(0, 64):
                    now, work = time.monotonic(), time.process_time()
                    print(self._received, (work - worked) / (now - started), flush=True)
                    started, worked = now, work
                else:
                    return

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[sock.fileno()] = sock
        self._rest[sock.fileno()] = b""
        self._epoll.register(sock, select.EPOLLIN)

    def _receive(self, descriptor: int) -> None:
        sock = self._peers[descriptor]
        data = self._rest[descriptor] + sock.recv(RECEIVE)
        if not data:
            self._epoll.unregister(sock)
            del self._peers[descriptor]
            sock.close()
            return
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(data, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(data) < size:
                break
            self._received += 1
            sock.sendall(ANSWER)
            data = data[size:]
        self._rest[descriptor] = data


def main() -> None:
    """Say the port and serve."""
    sink = Sink()
    print(sink.port, flush=True)
    sink.serve()


if __name__ == "__main__":
    main()
