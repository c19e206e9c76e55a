// What the server's messages come to: conversations, Rooms, people. Knows nothing of the page.

const STATUSES = ["stored", "received", "displayed", "read"];
const UNSEEN = { status: "", availability: "invisible" };
const ALL = "";
const COMPOSING_FOR = 60_000;

const partyOf = (subscriber, room) =>
  room === undefined ? { "subscriber-id": subscriber } : { "channel-id": room };
const rank = (status) => STATUSES.indexOf(status);

// A message of ours has `statuses` by recipient; `status` is the least that holds for everybody we
// have heard of. Before it is stored it has no id, and its status is "sending" or why it failed.
class Message {
  statuses = new Map();
  isRead = false;

  constructor(from, content, sentAt, { id = null, dedupeId = null } = {}) {
    Object.assign(this, { from, content, sentAt, id, dedupeId });
    this.state = id === null ? "sending" : "stored";
    this.key = dedupeId ?? id;
  }

  // What a history of a Room says of all recipients holds until we hear of one.
  raise(recipient, status) {
    if (recipient !== ALL) this.statuses.delete(ALL);
    if (rank(status) > rank(this.statuses.get(recipient) ?? "stored")) {
      this.statuses.set(recipient, status);
    }
  }

  get status() {
    if (this.state !== "stored" || this.statuses.size === 0) return this.state;
    return STATUSES[Math.min(...[...this.statuses.values()].map(rank))];
  }
}

class Conversation {
  messages = [];
  members = new Map();
  composing = new Map();
  hasEarlier = true;

  // `party` is what names it in messages: one of "subscriber-id" and "channel-id".
  constructor(party) {
    this.party = party;
    [[this.kind, this.id]] = Object.entries(party);
  }

  get isRoom() {
    return this.kind === "channel-id";
  }

  get unread() {
    return this.messages.filter((one) => !one.isRead).length;
  }

  // Puts a message where it belongs: ids rise, what has none yet is at the end.
  insert(message) {
    const at = this.messages.findIndex(({ id }) => id === null || id > message.id);
    this.messages.splice(at < 0 ? this.messages.length : at, 0, message);
  }

  find(id) {
    return this.messages.find((one) => one.id === id);
  }

  whoComposes() {
    const now = Date.now();
    return [...this.composing].filter(([, until]) => until > now).map(([id]) => id);
  }
}

class Model {
  self = "";
  conversations = new Map();
  rooms = new Map();
  invitations = new Map();
  people = new Map();

  person(id) {
    return this.people.get(id) ?? UNSEEN;
  }

  conversation(party) {
    const key = JSON.stringify(party);
    if (!this.conversations.has(key)) this.conversations.set(key, new Conversation(party));
    return this.conversations.get(key);
  }

  nameOf({ isRoom, id }) {
    return isRoom ? (this.rooms.get(id)?.name ?? id) : id;
  }

  // Takes in a message of the server.
  apply(message) {
    switch (message.type) {
      case "welcome":
        this.self = message["subscriber-id"];
        break;
      case "direct-message":
      case "channel-message":
        this.#message(message);
        break;
      case "delivery":
        if (message["subscriber-id"] !== undefined) this.#delivery(message);
        break;
      case "invitation":
        if (message.from !== this.self) this.invitations.set(message["channel-id"], message);
        else this.#joined(message);
        break;
      case "membership":
        if (message.change === "left") this.#left(message.channel["channel-id"]);
        else this.#joined(message.channel);
        break;
      case "subscriber":
        this.#subscriber(message);
        break;
      case "subscribers":
        for (const one of message.subscribers) this.people.set(one.id, one);
        break;
      case "composing":
        this.#composing(message);
        break;
    }
  }

  // What a history holds.
  addHistory(conversation, { messages, more }) {
    for (const one of messages) this.#add(conversation, one);
    conversation.hasEarlier = more;
  }

  setRooms(rooms) {
    this.rooms = new Map(rooms.map((one) => [one["channel-id"], one]));
    rooms.forEach((one) => this.#joined(one));
  }

  setMembers(conversation, subscribers) {
    conversation.members = new Map(subscribers.map((one) => [one.id, one.administrator]));
  }

  // Has others' messages up to one count as read; the newest that was not, if any.
  read(conversation, upTo = null) {
    const unread = conversation.messages.filter(
      ({ isRead, id }) => !isRead && (upTo === null || id <= upTo),
    );
    for (const one of unread) one.isRead = true;
    return unread.at(-1) ?? null;
  }

  #message(message) {
    const other = message.from === this.self ? message["subscriber-id"] : message.from;
    const conversation = this.conversation(partyOf(other, message["channel-id"]));
    conversation.composing.delete(message.from);
    this.#add(conversation, message);
  }

  // Whether others' messages were read before is not known here; saying so again does no harm.
  #add(conversation, message) {
    const { "message-id": id, from, content, "sent-at": sentAt, "dedupe-id": dedupeId } = message;
    const ours = conversation.messages.find((one) => dedupeId && one.dedupeId === dedupeId);
    if (conversation.find(id) === undefined && ours === undefined) {
      const added = new Message(from, content, sentAt, { id, dedupeId });
      added.isRead = from === this.self;
      conversation.insert(added);
      if (message.status !== undefined) added.raise(conversation.isRoom ? ALL : conversation.id, message.status);
    } else if (ours?.id === null) {
      this.stored(conversation, ours, id);
    }
  }

  // A message of ours has its id, and by that its place.
  stored(conversation, message, id) {
    if (message.id !== null) return;
    conversation.messages.splice(conversation.messages.indexOf(message), 1);
    Object.assign(message, { id, state: "stored" });
    conversation.insert(message);
  }

  // Others' news of our messages; or what another device of ours says of theirs (MS-59).
  #delivery({ "message-id": id, status, "subscriber-id": who, "channel-id": room, through }) {
    if (who === this.self) {
      if (status === "read") this.#readElsewhere(id, through);
      return;
    }
    for (const one of this.conversation(partyOf(who, room)).messages) {
      const isMeant = one.id === id || (through && one.id !== null && one.id < id);
      if (isMeant && one.from === this.self) one.raise(who, status);
    }
  }

  #readElsewhere(id, through) {
    for (const conversation of this.conversations.values()) {
      const found = conversation.find(id);
      if (found === undefined) continue;
      if (through) this.read(conversation, id);
      else found.isRead = true;
    }
  }

  #subscriber({ change, "channel-id": room, subscriber }) {
    this.people.set(subscriber.id, subscriber);
    if (room === undefined) return;
    const { members } = this.conversation(partyOf(subscriber.id, room));
    if (change === "left") members.delete(subscriber.id);
    else members.set(subscriber.id, subscriber.administrator);
  }

  #composing({ from, "channel-id": room, state }) {
    const { composing } = this.conversation(partyOf(from, room));
    if (state === "active") composing.set(from, Date.now() + COMPOSING_FOR);
    else composing.delete(from);
  }

  #joined(room) {
    const id = room["channel-id"];
    this.rooms.set(id, room);
    this.invitations.delete(id);
    this.conversation({ "channel-id": id });
  }

  #left(id) {
    this.rooms.delete(id);
    this.conversations.delete(JSON.stringify({ "channel-id": id }));
  }
}
