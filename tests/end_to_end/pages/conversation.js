// What a client of a SockJS service says and hears; the same in Node and in a page.
// Calls `report(event, details)`; the events are in the order of the conversation.

const ODD = [
  "",
  " ",
  "100 % sure, %41, %",
  "</script><script>alert(1)</script><!--",
  "line\nbreak\r\ntab\t\u0000nul\u007f",
  "\u200c\u2028\u2029\ufeff\ufff0\uffff",
  "lone \ud800 and \udfff, pair \ud83d\ude00",
  '"quoted" \\ \' `',
  "ünïcödé 漢字",
];
const MANY = Array.from({ length: 300 }, (_, n) => `${n} `.padEnd(1024, "x"));
const LARGE = "<large>".padEnd(65536, "é");
// Milliseconds that a transport has to connect; what it thinks of itself is for quick machines.
const PATIENCE = 20_000;

function opened(SockJS, url, transports) {
  return new Promise((resolve, reject) => {
    const socket = new SockJS(url, null, { transports, timeout: PATIENCE });
    socket.onopen = () => resolve(socket);
    socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
  });
}

function echoed(socket, messages) {
  return new Promise((resolve, reject) => {
    const received = [];
    socket.onmessage = ({ data }) => {
      received.push(data);
      if (received.length === messages.length) resolve(received);
    };
    socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
    for (const message of messages) socket.send(message);
  });
}

function same(left, right) {
  return left.length === right.length && left.every((message, n) => message === right[n]);
}

async function converse(SockJS, base, transports, report) {
  const socket = await opened(SockJS, `${base}/echo`, transports);
  await report("opened", { transport: socket.transport });
  for (const [name, messages] of Object.entries({ odd: ODD, many: MANY, large: [LARGE] })) {
    const received = await echoed(socket, messages);
    const wrong = messages.filter((message, n) => message !== received[n]).length;
    await report(name, { same: same(messages, received), wrong, count: received.length });
  }
  await new Promise((resolve) => (socket.onheartbeat = resolve));
  await report("heartbeat");
  const left = new Promise((resolve) => (socket.onclose = resolve));
  socket.close();
  await report("left", { code: (await left).code });

  const away = new SockJS(`${base}/close`, null, { transports, timeout: PATIENCE });
  away.onclose = ({ code, reason, wasClean }) => report("closed", { code, reason, wasClean });
}

if (typeof module !== "undefined") module.exports = { converse, opened };
else Object.assign(globalThis, { converse, opened });
