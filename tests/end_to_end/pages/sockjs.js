// The public client in a page: loads its script from `script`, talks to the services at `base`.

import { parameters, report } from "./reports.js";

const { base, script, transports } = parameters;
await new Promise((onload, onerror) =>
  document.head.append(Object.assign(document.createElement("script"), { src: script, onload, onerror })),
);
await converse(SockJS, base, transports ? transports.split(" ") : [], report);
