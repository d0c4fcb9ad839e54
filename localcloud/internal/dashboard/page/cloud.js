// The state of the cloud as this page knows it, and what keeps it up to date.

const listeners = {};

/** on calls f with each change of what is named: state, requests, resources, operations, mounts or faults. */
export const on = (what, f) => { (listeners[what] ??= []).push(f); };
const tell = (what, ...args) => { for (const f of listeners[what] ?? []) f(...args); };

export const known = {
  state: "connecting", // running, starting, stopped, unreachable, or gone: the server of this page has ended
  message: "",
  status: {},
  requests: [], // the oldest first
  resources: [],
  operations: [],
  mounts: [],
  rotations: [],
  faults: null,
};

const keep = 2000; // requests, as many as the cloud does
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

class Away extends Error {
  constructor(state, message) {
    super(message);
    this.state = state;
  }
}

async function get(path) {
  let answer;
  try {
    answer = await fetch(`api/${path}`, { headers: { Accept: "application/json" } });
  } catch {
    throw new Away("gone", "");
  }
  if (answer.ok) return answer.json();
  if (answer.status === 503) {
    const why = await answer.json();
    throw new Away(why.state, why.message);
  }
  throw new Away(answer.status === 401 ? "gone" : "unreachable", (await answer.text()).trim());
}

function setState(state, message = "") {
  if (state === known.state && message === known.message) return;
  known.state = state;
  known.message = message;
  tell("state");
  if (state === "running") {
    get("status").then((status) => { known.status = status; tell("state"); }, () => {});
    for (const one of Object.values(polls)) one.soon();
  }
}

/** follow reads the record of requests as it grows, and begins again when the cloud has. */
async function follow() {
  let after = 0, started = "", wait = "";
  for (;;) {
    try {
      const page = await get(`activity?after=${after}&limit=1000${wait}`);
      setState("running");
      if (started && page.started !== started) { // another run, whose numbers begin at 1
        known.requests = [];
        tell("requests", null);
        [after, started, wait] = [0, "", ""];
        continue;
      }
      started = page.started;
      after = page.next;
      wait = "&wait=20s";
      const fresh = page.requests ?? [];
      if (fresh.length > 0) {
        known.requests.push(...fresh);
        known.requests.splice(0, Math.max(0, known.requests.length - keep));
        tell("requests", fresh);
        if (fresh.some((r) => r.method !== "GET")) {
          polls.resources.soon();
          polls.operations.soon();
        }
        if (fresh.some((r) => r.service === "Key Vault")) polls.mounts.soon();
        if (fresh.some((r) => r.fault)) polls.faults.soon();
      }
    } catch (e) {
      if (!(e instanceof Away)) throw e;
      setState(e.state, e.message);
      wait = "";
      await sleep(e.state === "gone" ? 3000 : 1000);
    }
  }
}

/** poll asks for something every so many milliseconds, and soon after something has happened. */
function poll(path, every, take) {
  let timer = 0, last = "", asking = false, again = false;
  async function ask() {
    clearTimeout(timer);
    if (asking) { again = true; return; }
    asking = true;
    if (known.state === "running" && !document.hidden) {
      try {
        const answer = await get(path);
        const text = JSON.stringify(answer);
        if (text !== last) {
          last = text;
          take(answer);
          tell(path);
        }
      } catch (e) {
        if (!(e instanceof Away)) throw e; // follow tells of those
      }
    }
    asking = false;
    timer = setTimeout(ask, again ? 250 : every());
    again = false;
  }
  return {
    ask,
    soon() { clearTimeout(timer); timer = setTimeout(ask, 250); },
  };
}

const view = () => location.hash.slice(1);
export const polls = {
  resources: poll("resources", () => 5000, (a) => { known.resources = a.resources ?? []; }),
  operations: poll("operations", () => (known.operations.length ? 2000 : 5000), (a) => {
    known.operations = (a.operations ?? []).map((o) => ({ ...o, until: o.leftMs === undefined ? null : performance.now() + o.leftMs }));
  }),
  mounts: poll("mounts", () => (view() === "pods" ? 4000 : 15000), (a) => {
    known.mounts = a.mounts ?? [];
    known.rotations = a.rotations ?? [];
  }),
  faults: poll("faults", () => 4000, (a) => { known.faults = a; }),
};

/** graph is where the resources are in the drawing. */
export const graph = () => get("graph");

/** setFaults puts a fault plan in the place of the one in force: an object, a text in YAML or JSON, or null for none. */
export async function setFaults(plan) {
  const own = { "X-Localcloud-Dashboard": "1" };
  let answer;
  try {
    answer = plan === null
      ? await fetch("api/faults", { method: "DELETE", headers: own })
      : await fetch("api/faults", {
        method: "PUT",
        headers: { ...own, "Content-Type": "application/yaml" },
        body: typeof plan === "string" ? plan : JSON.stringify(plan),
      });
  } catch {
    throw new Error("The server of this page has ended.");
  }
  if (!answer.ok) {
    const text = await answer.text();
    let why = text.trim();
    try { why = JSON.parse(text).message; } catch { /* it is plain text */ }
    throw new Error(why);
  }
  await polls.faults.ask();
}

/** start keeps what is known up to date from now on. */
export function start() {
  follow();
  for (const one of Object.values(polls)) one.ask();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) for (const one of Object.values(polls)) one.soon();
  });
}
