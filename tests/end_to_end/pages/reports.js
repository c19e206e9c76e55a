// What every page needs: its parameters, and a way to tell the test what happened.

export const parameters = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

let last = Promise.resolve();

// One report after the other: two requests at once might overtake each other.
export function report(event, details = {}) {
  const body = JSON.stringify({ event, ...details });
  last = last.then(() => fetch("/reports", { method: "POST", body }));
  return last;
}

addEventListener("error", ({ message }) => report("failed", { message }));
addEventListener("unhandledrejection", ({ reason }) =>
  report("failed", { message: String(reason?.stack ?? reason) }),
);
