// What a page of an origin that is not listed gets to see: nothing.

import { parameters, report } from "./reports.js";
import { CHANNELS, call, createChannel } from "./rest.js";

const { base, token, channel } = parameters;

const attempts = [() => createChannel({ channelType: "websockets" }), () => call("GET", CHANNELS)];
for (const attempt of attempts) {
  const outcome = await attempt().then(({ status }) => status, (error) => error.name);
  await report("fetched", { outcome });
}

const path = `${base.replace(/^http/, "ws")}${CHANNELS}/${channel}/websocket`;
const socket = new WebSocket(`${path}?access_token=${token}`);
socket.onopen = () => report("opened");
socket.onclose = ({ code }) => report("closed", { code });
