// The public client in Node: node client.js BASE TRANSPORT... ; prints a line of JSON per event.

const { join } = require("node:path");
const SockJS = require(join(process.cwd(), "node_modules", "sockjs-client"));
const { converse } = require("../pages/conversation.js");

const [base, ...transports] = process.argv.slice(2);
const report = (event, details = {}) => console.log(JSON.stringify({ event, ...details }));
converse(SockJS, base, transports, report).catch((error) => {
  report("failed", { message: String(error.stack) });
  process.exit(1);
});
