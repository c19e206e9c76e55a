// A page where WebSockets are not to be had: one poll after the other; "leave" ends it.

import { report } from "./reports.js";
import { CHAT, call, createChannel, inside, leave, subscribe } from "./rest.js";

const PAUSE = 1000;

const created = await createChannel({
  channelType: "LongPolling",
  channelData: { maxNotifications: "15" },
});
report("created", created);
const channel = created.body.notificationChannel;
const subscriptions = [await subscribe(CHAT, "chatNotificationSubscription", channel)];

let position = "";
for (let stays = true; stays; ) {
  const answer = await poll(position);
  if (answer === null) continue;
  const notifications = answer.body.notificationList.map(inside);
  position = `?since=${answer.headers["x-channel-position"]}`;
  report("polled", { status: answer.status, headers: answer.headers, notifications });
  stays = !notifications.some(({ text }) => text === "leave");
}
report("left", { statuses: await leave(subscriptions, channel) });

// The answer; null, after a pause, while there is nobody to answer.
async function poll(since) {
  try {
    return await call("POST", channel.channelData.channelURL + since, {});
  } catch (error) {
    report("unanswered", { error: error.name });
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    return null;
  }
}
