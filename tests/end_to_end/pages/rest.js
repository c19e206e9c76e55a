// The REST calls of a deployed client, made with fetch from another origin.

import { parameters } from "./reports.js";

const { base, user, token } = parameters;

export const CHANNELS = `/cpaas/notificationchannel/v1/${user}/channels`;
export const CHAT = `/cpaas/chat/v1/${user}/subscriptions`;
export const SMS = `/cpaas/smsmessaging/v1/${user}/inbound/subscriptions`;

// What a page can read of an answer: of its headers only those the daemon exposes.
export async function call(method, path, document, bearer = token) {
  const headers = { Authorization: `Bearer ${bearer}` };
  if (document !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(base + path, { method, headers, body: JSON.stringify(document) });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    body: text === "" ? null : JSON.parse(text),
  };
}

export async function createChannel(members) {
  const wanted = { clientCorrelator: "page", ...members };
  return call("POST", CHANNELS, { notificationChannel: wanted });
}

export async function subscribe(path, envelope, channel) {
  const callbackReference = { notifyURL: channel.callbackURL };
  const answer = await call("POST", path, { [envelope]: { callbackReference } });
  return { status: answer.status, url: answer.body[envelope].resourceURL };
}

// As deployed clients leave: the subscriptions in parallel, then the channel.
export async function leave(subscriptions, channel, closeSocket = () => {}) {
  const deleted = await Promise.all(subscriptions.map(({ url }) => call("DELETE", url)));
  closeSocket();
  deleted.push(await call("DELETE", channel.resourceURL));
  return deleted.map(({ status }) => status);
}

// The one object of a notification, whatever its root key.
export function inside(notification) {
  const [[root, content]] = Object.entries(notification);
  const message = content.chatMessage?.text ?? content.inboundSMSMessage?.message;
  return { root, id: content.id, text: message };
}
