"""Messages between subscribers (messaging.md): Rooms, Logs, presence, receipts. The straight line
is `delivery`'s; connections and REST are in `server.messaging`."""
