// A provider to push to: an HTTP/2 server with answers shaped like those of APNs and FCM.
//
//   node h2_peer.js --key KEY.pem --cert CERT.pem [--port 0] [--limit N] [--window N]
//                   [--goaway-every N] [--delay MS] [--rules FILE.json]
//
//   --limit         SETTINGS_MAX_CONCURRENT_STREAMS, 1000 if not given
//   --window        SETTINGS_INITIAL_WINDOW_SIZE, 65535 if not given
//   --goaway-every  every connection is sent away by a graceful GOAWAY after N requests
//   --delay         milliseconds before every answer
//   --rules         a list of rules, see below
//
// One JSON object per line goes out: first {"event": "listening", "port": N}, then
// {"event": "connection"} for each, and {"event": "report", ...} for each report asked for.
//
// Without a rule, /3/device/... is answered 200 with the apns-id it came with, /v1/projects/...
// 200 with the name of a message, anything else 200. A rule is
//   {"path": REGEX, "saying": TEXT, "times": N, "after": MS, "do": WHAT, "status": N, "headers": {},
//    "body": ANY, "code": N}
// all of it optional; the first one whose `path` matches, whose text is in the request's body and
// whose `times` are not used up is followed. WHAT is "answer" (which is the default, with status,
// headers and body, objects as JSON), "hold" (the same once it is told to release), "hang", "reset"
// (RST_STREAM with `code`) or "cut" (the TCP connection, at once).
//
// One JSON object per line may come in:
//   {"do": "rules", "rules": [...]}                   from now on these
//   {"do": "settings", "settings": {...}}             as of node's session.settings, to everyone
//   {"do": "goaway", "code": N, "debug": TEXT}        graceful: open streams are still answered
//   {"do": "goaway", "code": N, "how": "abrupt"}      and the connection is cut behind it
//   {"do": "cut"}                                     every connection, at once
//   {"do": "release"}                                 what is held is answered now
//   {"do": "report"}        connections, requests, distinct (by apns-id, else path and body),
//                           the most requests open at a time, the last 100 requests, each with
//                           its headers, its body and the number of its connection
// At the end of its input it ends.

'use strict';

const fs = require('node:fs');
const http2 = require('node:http2');
const readline = require('node:readline');
const { parseArgs } = require('node:util');

const KEPT = 100;
const NO_ERROR = 0;

const { values: options } = parseArgs({
  options: Object.fromEntries(
    ['key', 'cert', 'port', 'limit', 'window', 'goaway-every', 'delay', 'rules']
      .map((name) => [name, { type: 'string' }]),
  ),
});
const delay = Number(options.delay ?? 0);
const goawayEvery = Number(options['goaway-every'] ?? 0);

let rules = options.rules ? JSON.parse(fs.readFileSync(options.rules, 'utf8')) : [];
const sessions = new Set();
const seen = new Set();
const last = [];
let held = [];
const counts = { connections: 0, requests: 0, open: 0, most_open: 0 };

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function ruleFor(path, body) {
  const rule = rules.find(
    ({ path: pattern = '', saying = '', times = 1 }) => (
      times > 0 && new RegExp(pattern).test(path) && body.includes(saying)
    ),
  );
  if (rule?.times) rule.times -= 1;
  return rule;
}

function usual(headers) {
  const path = headers[':path'];
  if (path.startsWith('/3/device/')) return { headers: { 'apns-id': headers['apns-id'] ?? '' } };
  if (path.startsWith('/v1/projects/')) {
    const name = path.replace(/:send$/, `/${counts.requests}`).slice('/v1/'.length);
    return { headers: { 'content-type': 'application/json' }, body: { name } };
  }
  return {};
}

function textOf(body) {
  return typeof body === 'string' ? body : JSON.stringify(body);
}

function follow(stream, rule) {
  // One whose connection has been cut may not know that yet.
  if (stream.destroyed || !stream.session || stream.session.destroyed) return;
  switch (rule.do ?? 'answer') {
    case 'hang':
      return;
    case 'hold':
      held.push([stream, { ...rule, do: 'answer' }]);
      return;
    case 'reset':
      stream.close(rule.code ?? http2.constants.NGHTTP2_INTERNAL_ERROR);
      return;
    case 'cut':
      stream.session.destroy();
      return;
    default:
      stream.respond({ ':status': rule.status ?? 200, ...rule.headers });
      stream.end(rule.body === undefined ? '' : textOf(rule.body));
  }
}

function note(headers, body, connection) {
  counts.requests += 1;
  seen.add(headers['apns-id'] ?? `${headers[':path']} ${body}`);
  last.push({ connection, headers: { ...headers }, body });
  if (last.length > KEPT) last.shift();
}

function sendAway(session, { code = NO_ERROR, debug = '', how = 'graceful' } = {}) {
  session.goaway(code, 0, Buffer.from(debug));
  if (how === 'abrupt') {
    // What comes behind the last stream that the GOAWAY names is not served, nor counted.
    session.left = true;
    // A turn later, so that the GOAWAY is on its way.
    setImmediate(() => session.destroy());
  } else session.close();
}

function serve(stream, headers) {
  const { session } = stream;
  stream.on('error', () => {});
  if (!session || session.left) return;
  counts.open += 1;
  counts.most_open = Math.max(counts.most_open, counts.open);
  session.served = (session.served ?? 0) + 1;
  if (goawayEvery && session.served === goawayEvery) sendAway(session);
  const pieces = [];
  stream.on('data', (piece) => pieces.push(piece));
  stream.on('close', () => { counts.open -= 1; });
  stream.on('end', () => {
    const body = Buffer.concat(pieces).toString();
    note(headers, body, session.number);
    const rule = ruleFor(headers[':path'], body) ?? usual(headers);
    const wait = rule.after ?? delay;
    if (wait) setTimeout(follow, wait, stream, rule);
    else follow(stream, rule);
  });
}

function obey(command) {
  switch (command.do) {
    case 'rules':
      ({ rules } = command);
      break;
    case 'settings':
      for (const session of sessions) session.settings(command.settings);
      break;
    case 'goaway':
      for (const session of sessions) sendAway(session, command);
      break;
    case 'cut':
      for (const session of sessions) session.destroy();
      break;
    case 'release': {
      const released = held;
      held = [];
      for (const [stream, rule] of released) follow(stream, rule);
      break;
    }
    case 'report':
      say({ event: 'report', ...counts, distinct: seen.size, last });
      break;
    default:
      throw new Error(`cannot ${command.do}`);
  }
}

const server = http2.createSecureServer({
  key: fs.readFileSync(options.key),
  cert: fs.readFileSync(options.cert),
  settings: {
    maxConcurrentStreams: Number(options.limit ?? 1000),
    initialWindowSize: Number(options.window ?? 65535),
  },
});
server.on('session', (session) => {
  counts.connections += 1;
  session.number = counts.connections;
  sessions.add(session);
  session.on('close', () => sessions.delete(session));
  session.on('error', () => {});
  say({ event: 'connection' });
});
server.on('sessionError', () => {});
server.on('stream', serve);
server.listen(Number(options.port ?? 0), '127.0.0.1', () => {
  say({ event: 'listening', port: server.address().port });
});
const input = readline.createInterface({ input: process.stdin });
input.on('line', (line) => obey(JSON.parse(line)));
input.on('close', () => process.exit(0));
