// A page as integrators write them: a channel, two subscriptions, a socket; "leave" ends it.

import { parameters, report } from "./reports.js";
import { CHANNELS, CHAT, SMS, call, createChannel, inside, leave, subscribe } from "./rest.js";
import { NotificationSocket } from "./socket.js";

const created = await createChannel({ channelType: "websockets" });
report("created", created);
const channel = created.body.notificationChannel;

const subscriptions = [
  await subscribe(CHAT, "chatNotificationSubscription", channel),
  await subscribe(SMS, "subscription", channel),
];
report("subscribed", { statuses: subscriptions.map(({ status }) => status) });

await report("refused", await call("GET", `${CHANNELS}/ws-unknown`));
await report("refused", await call("GET", CHANNELS, undefined, "no token"));
await report("refused", await hurry());

const socket = new NotificationSocket(channel.channelData.channelURL, async (notification) => {
  const received = inside(notification);
  report("received", received);
  if (received.text === "leave") {
    const statuses = await leave(subscriptions, channel, () => socket.close());
    const { status } = await call("GET", channel.resourceURL);
    report("left", { statuses, status });
  }
});

// With a token of its own: call until there have been too many calls.
async function hurry() {
  for (;;) {
    const answer = await call("GET", CHANNELS, undefined, parameters.hasty);
    if (answer.status !== 200) return answer;
  }
}
