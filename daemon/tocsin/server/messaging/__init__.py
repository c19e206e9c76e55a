"""The messaging face: connections over SockJS and WebSockets, and REST (messaging.md)."""
