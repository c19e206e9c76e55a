"""SockJS 0.3.3, server side, without I/O (sockjs.md)."""
