// One connection of a subscriber, kept up: the notes for client authors in the README, as code.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
const AFTER_A_FLOOD = 60_000;
const PROBED_AFTER = 25_000;
const DEAD_AFTER = 50_000;
// What a client does when it is closed with these: nothing, until a human does.
const FINAL = {
  1000: "closed",
  1003: "closed: this page sent something wrong",
  1007: "closed: this page sent something wrong",
  1009: "closed: a message was too big",
  3000: "the token is valid no longer",
  3003: "this subscriber may not use messages any more",
  4000: "replaced by another connection",
};
const NO_ANSWER = { replies: [], error: { code: "closed", text: "not connected" } };

class Connection {
  #base;
  #token;
  #told;
  #socket = null;
  #cursor = "";
  #asked = new Map();
  #lastId = 0;
  #failures = 0;
  #heard = 0;

  // `told` hears `state(text)`, `opened()` after the resume was asked for, `message(message)` for
  // each one in order, `gap()` when something was missed for good, and `over(text, code)` when no
  // further attempt is made.
  constructor(base, token, told) {
    this.#base = base;
    this.#token = token;
    this.#told = told;
    setInterval(() => this.#watch(), PROBED_AFTER / 5);
    this.#connect();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  // Sends a message; what it is answered before its ack, and why it was refused, or null.
  ask(message) {
    if (!this.isOpen) return Promise.resolve(NO_ANSWER);
    const id = String(++this.#lastId);
    this.#socket.send(JSON.stringify({ ...message, id }));
    return new Promise((answered) => this.#asked.set(id, { replies: [], answered }));
  }

  #connect() {
    this.#told.state("connecting");
    const base = this.#base.replace(/^http/, "ws");
    const socket = new WebSocket(`${base}/websocket?access_token=${encodeURIComponent(this.#token)}`);
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.#heard = Date.now();
      this.#resume();
      this.#told.state("connected");
      this.#told.opened();
    };
    socket.onmessage = ({ data }) => this.#received(JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(socket, code, wasOpen);
    this.#socket = socket;
  }

  async #resume() {
    const { replies } = await this.ask({ type: "resume", cursor: this.#cursor });
    const end = replies.at(-1);
    if (end?.type !== "resumed") return;
    this.#failures = 0;
    if (!end.complete) this.#told.gap();
  }

  #received(message) {
    this.#heard = Date.now();
    // The welcome tells where the Log ends, not what has been processed.
    if (message.cursor !== undefined && message.type !== "welcome") this.#cursor = message.cursor;
    const asked = this.#asked.get(message["reply-to"]);
    if (message.type !== "ack") {
      if (asked !== undefined) asked.replies.push(message);
      this.#told.message(message);
    } else if (asked !== undefined) {
      this.#asked.delete(message["reply-to"]);
      asked.answered({ replies: asked.replies, error: message.error ?? null });
    }
  }

  async #closed(socket, code, wasOpen) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    for (const { answered } of this.#asked.values()) answered(NO_ANSWER);
    this.#asked.clear();
    const end = FINAL[code] ?? (wasOpen ? null : await this.#refusal());
    if (end !== null) {
      this.#told.over(end, code);
      return;
    }
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures++);
    const wait = code === 1008 ? AFTER_A_FLOOD : Math.random() * longest;
    this.#told.state(`trying again in ${(wait / 1000).toFixed(1)} s`);
    setTimeout(() => this.#connect(), wait);
  }

  // A WebSocket that was not let in does not say why; /info does.
  async #refusal() {
    const url = `${this.#base}/info?access_token=${encodeURIComponent(this.#token)}`;
    try {
      const { status } = await fetch(url, { cache: "no-store" });
      return status === 401 || status === 403 ? FINAL[status === 401 ? 3000 : 3003] : null;
    } catch {
      return null;
    }
  }

  // Some proxies never report a cut; Pings of the server cannot be seen from here.
  #watch() {
    const silence = Date.now() - this.#heard;
    if (!this.isOpen || silence < PROBED_AFTER) return;
    if (silence < DEAD_AFTER) {
      this.ask({ type: "list-subscribers" });
      return;
    }
    const dead = this.#socket;
    dead.close();
    this.#closed(dead, 1006, true);
  }
}
