// What the person at the page does, and what the page does for him.

const REPEAT_COMPOSING = 10_000;
const MOST_LISTED = 100;

const token = new URLSearchParams(location.hash.slice(1)).get("token");
const model = new Model();
const view = new View(model, { open, accept });
let connection = null;
let current = null;
let composingSince = 0;
let isShowing = false;

// Once for whatever comes together.
function show() {
  if (isShowing) return;
  isShowing = true;
  setTimeout(() => {
    isShowing = false;
    if (current?.isRoom && !model.rooms.has(current.id)) current = null;
    view.show(current);
    sayWhatWasRead();
  });
}

function notice(text) {
  byId("notice").textContent = text;
}

// Asks; says what is wrong, if anything. The answers, or null.
async function ask(message) {
  const { replies, error } = await connection.ask(message);
  notice(error === null ? "" : `${message.type}: ${error.text}`);
  show();
  return error === null ? replies : null;
}

// -- messages ------------------------------------------------------------------------------------

function send(conversation, content) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const dedupeId = Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
  const message = new Message(model.self, content, new Date().toISOString(), { dedupeId });
  message.isRead = true;
  conversation.messages.push(message);
  deliver(conversation, message);
  show();
}

// A message that has no answer stays, and goes again when there is a connection.
async function deliver(conversation, message) {
  const { isRoom, party } = conversation;
  const { replies, error } = await connection.ask({
    type: isRoom ? "channel-message" : "direct-message",
    ...party,
    content: message.content,
    "dedupe-id": message.dedupeId,
  });
  if (error === null) {
    model.stored(conversation, message, replies[0]["message-id"]);
  } else if (error["retry-after"] !== undefined) {
    setTimeout(() => deliver(conversation, message), error["retry-after"] * 1000);
  } else if (error.code !== "closed") {
    message.state = `not sent: ${error.text}`;
  }
  show();
}

function deliverAgain() {
  for (const conversation of model.conversations.values()) {
    const unsent = conversation.messages.filter((one) => one.state === "sending");
    for (const message of unsent) deliver(conversation, message);
  }
}

// What is on the screen of somebody who looks at it is read; if he looks elsewhere, displayed.
function sayWhatWasRead() {
  if (current === null || document.visibilityState !== "visible" || !connection?.isOpen) return;
  if (document.hasFocus()) {
    const newest = model.read(current);
    if (newest !== null) receipt(newest, "read");
    return;
  }
  const newest = current.messages.findLast((one) => !one.isRead);
  if (newest !== undefined && newest !== current.displayed) receipt(newest, "displayed");
  current.displayed = newest;
}

// One that is lost with its connection is said on the next.
async function receipt(message, status) {
  const { error } = await connection.ask({
    type: "delivery",
    "message-id": message.id,
    status,
    through: true,
  });
  if (error?.code === "closed" && status === "read") message.isRead = false;
  show();
}

async function earlier(conversation) {
  const [oldest] = conversation.messages;
  const before = oldest?.id ? { before: oldest.id } : {};
  const replies = await ask({ type: "history", ...conversation.party, ...before });
  if (replies !== null) model.addHistory(conversation, replies[0]);
}

function compose(isWriting) {
  const now = Date.now();
  if (isWriting ? now - composingSince < REPEAT_COMPOSING : composingSince === 0) return;
  composingSince = isWriting ? now : 0;
  const state = isWriting ? "active" : "idle";
  connection.ask({ type: "composing", ...current.party, state });
}

// -- conversations -------------------------------------------------------------------------------

function open(conversation) {
  if (current !== null && current !== conversation) compose(false);
  current = conversation;
  list([conversation]);
  if (conversation.messages.length === 0) earlier(conversation);
  show();
}

async function accept(id, inviteToken = "") {
  const given = inviteToken ? { "invite-token": inviteToken } : {};
  const replies = await ask({ type: "join-channel", "channel-id": id, ...given });
  // An invitation may have been withdrawn, and nobody says so.
  if (replies === null) model.invitations.delete(id);
  else open(model.conversation({ "channel-id": id }));
}

// Who is in these Rooms, and how these people are: nothing of that is replayed.
async function list(conversations) {
  for (const conversation of conversations.filter((one) => one.isRoom)) {
    const replies = await ask({ type: "list-subscribers", ...conversation.party });
    const subscribers = replies?.flatMap((one) => one.subscribers) ?? [];
    model.setMembers(conversation, subscribers);
  }
  const ids = conversations.filter((one) => !one.isRoom).map((one) => one.id);
  if (ids.length) {
    await ask({ type: "list-subscribers", "subscriber-ids": ids.slice(0, MOST_LISTED) });
  }
}

async function listEverything() {
  const rooms = await ask({ type: "list-channels" });
  if (rooms === null) return;
  model.setRooms(rooms.flatMap((one) => one.channels));
  const direct = [...model.conversations.values()].filter((one) => !one.isRoom);
  await list(current?.isRoom ? [current, ...direct] : direct);
}

function announce() {
  const availability = byId("availability").value;
  if (availability === "invisible") ask({ type: "unannounce" });
  else ask({ type: "announce", availability, status: byId("status").value });
}

// -- the connection ------------------------------------------------------------------------------

const told = {
  state: (text) => write(byId("state"), text),
  opened: () => {
    announce();
    deliverAgain();
    listEverything();
  },
  message: (message) => {
    model.apply(message);
    show();
  },
  gap: () => {
    for (const one of model.conversations.values()) one.hasEarlier = true;
    notice("Not everything you missed is kept; look at earlier messages.");
  },
  over: (text, code) => {
    write(byId("state"), text);
    byId("login").hidden = code !== 3000;
  },
};

// -- the page ------------------------------------------------------------------------------------

function onSubmit(id, act) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    act(Object.fromEntries(new FormData(form)));
    form.reset();
  });
}

onSubmit("login", (given) => (location.hash = new URLSearchParams(given)));
onSubmit("direct", ({ id }) => open(model.conversation({ "subscriber-id": id })));
onSubmit("join", ({ id, token: inviteToken }) => accept(id, inviteToken));
onSubmit("invite", ({ id }) => ask({ type: "invite", ...current.party, "subscriber-ids": [id] }));
onSubmit("create", async ({ name, token: inviteToken }) => {
  const given = inviteToken ? { "invite-token": inviteToken } : {};
  const replies = await ask({ type: "create-channel", name, ...given });
  if (replies !== null) open(model.conversation({ "channel-id": replies[0]["channel-id"] }));
});
onSubmit("compose", ({ content }) => {
  composingSince = 0;
  send(current, content);
});
byId("compose").addEventListener("input", ({ target }) => compose(target.value !== ""));
byId("leave").addEventListener("click", () => ask({ type: "leave-channel", ...current.party }));
byId("earlier").addEventListener("click", () => earlier(current));
byId("availability").addEventListener("change", announce);
byId("status").addEventListener("change", announce);
addEventListener("focus", show);
document.addEventListener("visibilitychange", show);
addEventListener("hashchange", () => location.reload());
setInterval(show, REPEAT_COMPOSING);

if (token) connection = new Connection(document.documentElement.dataset.base, token, told);
else byId("login").hidden = false;
