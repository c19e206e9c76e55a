"""SockJS services: sessions, their receivers, WebSockets (sockjs.md)."""
