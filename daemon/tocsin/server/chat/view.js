// Shows the model. All text goes through `textContent` or text nodes: nothing said can be markup.

const TICKS = { stored: "✓", received: "✓✓", displayed: "✓✓ displayed", read: "✓✓ read" };

const byId = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Makes the children of a list what the items say; those of the same key stay, focus and all.
function arrange(list, items, { key, make, update }) {
  const there = new Map([...list.children].map((one) => [one.dataset.key, one]));
  items.forEach((item, index) => {
    const one = there.get(key(item)) ?? make(item);
    one.dataset.key = key(item);
    update(one, item);
    if (list.children[index] !== one) list.insertBefore(one, list.children[index] ?? null);
  });
  while (list.children.length > items.length) list.lastChild.remove();
}

function write(one, text) {
  if (one.textContent !== text) one.textContent = text;
}

class View {
  #model;
  #open;
  #accept;

  // `open(conversation)` and `accept(roomId)` are what can be chosen in lists.
  constructor(model, { open, accept }) {
    this.#model = model;
    this.#open = open;
    this.#accept = accept;
  }

  show(current) {
    write(byId("self"), this.#model.self || "nobody yet");
    this.#conversations(current);
    this.#invitations();
    byId("conversation").hidden = current === null;
    if (current !== null) this.#conversation(current);
  }

  #conversations(current) {
    const shown = [...this.#model.conversations.values()].filter(
      (one) => !one.isRoom || this.#model.rooms.has(one.id),
    );
    arrange(byId("conversations"), shown, {
      key: (one) => `${one.kind} ${one.id}`,
      make: (one) =>
        element("li", {}, element("button", { type: "button", onclick: () => this.#open(one) })),
      update: ({ firstChild }, one) => {
        write(firstChild, this.#label(one));
        firstChild.setAttribute("aria-current", String(one === current));
      },
    });
  }

  #label(conversation) {
    const { unread, isRoom, id } = conversation;
    const presence = isRoom ? "" : `, ${this.#presence(id)}`;
    return this.#model.nameOf(conversation) + presence + (unread ? `, ${unread} unread` : "");
  }

  #presence(id) {
    const { availability, status } = this.#model.person(id);
    return status ? `${availability}: ${status}` : availability;
  }

  #invitations() {
    arrange(byId("invitations"), [...this.#model.invitations.values()], {
      key: (one) => one["channel-id"],
      make: (one) => {
        const onclick = () => this.#accept(one["channel-id"]);
        return element("li", {}, element("button", { type: "button", onclick }));
      },
      update: ({ firstChild }, one) => write(firstChild, `Join ${one.name}, from ${one.from}`),
    });
  }

  #conversation(current) {
    write(byId("title"), this.#model.nameOf(current));
    byId("room").hidden = !current.isRoom;
    byId("earlier").hidden = !current.hasEarlier;
    if (current.isRoom) this.#members(current);
    this.#messages(current);
    const writing = current.whoComposes();
    write(byId("composing"), writing.length ? `${writing.join(", ")} writing …` : "");
  }

  #members({ id, members }) {
    write(byId("room-id"), id);
    arrange(byId("members"), [...members], {
      key: ([member]) => member,
      make: () => element("li"),
      update: (one, [member, isAdministrator]) =>
        write(
          one,
          member === this.#model.self
            ? `${member} (you)`
            : `${member}${isAdministrator ? " (administrator)" : ""}, ${this.#presence(member)}`,
        ),
    });
  }

  #messages({ messages }) {
    const log = byId("log");
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    arrange(log, messages, {
      key: (one) => one.key,
      make: (one) => this.#message(one),
      update: (made, one) => this.#state(made.lastChild, one),
    });
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }

  #message({ from, content, sentAt }) {
    const at = new Date(sentAt);
    const time = element("time", { dateTime: sentAt }, at.toLocaleTimeString());
    const className = from === this.#model.self ? "own" : "";
    const text = element("span", { className: "text" }, content);
    const state = element("span", { className: "state" });
    return element("li", { className }, time, ` ${from}: `, text, " ", state);
  }

  #state(state, message) {
    if (message.from !== this.#model.self) return;
    const { status, statuses } = message;
    write(state, TICKS[status] ?? status);
    state.classList.toggle("read", status === "read");
    state.title = [...statuses].map(([who, what]) => `${who} ${what}`.trim()).join(", ") || status;
  }
}
