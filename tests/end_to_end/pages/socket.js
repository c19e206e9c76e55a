// A channel's WebSocket, kept open as deployed clients keep it.

import { parameters, report } from "./reports.js";

const { base, token } = parameters;
const TRIES = 5;
const GAP = 5000;

// Reconnects up to five times, five seconds apart, until the daemon says 1000. With the position
// it has counted itself, so that the daemon can prove that nothing is missing.
export class NotificationSocket {
  constructor(path, onNotification) {
    this.url = `${base.replace(/^http/, "ws")}${path}`;
    this.onNotification = onNotification;
    this.position = { epoch: "0", seq: 0 };
    this.tries = 0;
    this.connect();
  }

  connect() {
    const since = `${this.position.epoch}:${this.position.seq}`;
    const query = new URLSearchParams({ access_token: token, since });
    this.socket = new WebSocket(`${this.url}?${query}`);
    this.socket.onopen = () => this.opened();
    this.socket.onmessage = ({ data }) => this.received(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.closed(code);
  }

  opened() {
    this.isOpen = true;
    this.tries = 0;
    report("opened");
  }

  received(message) {
    if (message.channelResumed) {
      const { epoch, seq } = message.channelResumed;
      this.position = { epoch, seq };
      report("resumed", message.channelResumed);
    } else {
      this.position.seq += 1;
      this.onNotification(message);
    }
  }

  // A try that fails closes, too, without ever having been open.
  closed(code) {
    if (this.isOpen) report("closed", { code });
    this.isOpen = false;
    if (code === 1000) return;
    if (this.tries++ < TRIES) setTimeout(() => this.connect(), GAP);
    else report("gaveUp");
  }

  close() {
    this.socket.close(1000);
  }
}
