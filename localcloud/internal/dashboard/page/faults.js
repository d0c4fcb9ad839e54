// Faults to switch on and off, the plan in force, and what came of it.

import { $, h, replace, say } from "./dom.js";
import { known, on, setFaults } from "./cloud.js";
import { caller } from "./decisions.js";
import { clock } from "./names.js";
import { selection } from "./selection.js";

// A switch has a rule, or a key of the plan. Its choices are rates of the rule, or times of the key.
const switches = [
  {
    name: "Key Vault throttles", about: "Answers 429 with Retry-After, as a vault over its limit does.",
    rule: { host: ".+\\.vault\\.azure\\.net", status: 429, retryAfter: "2s" }, rates: [0.1, 0.5, 1], usual: 0.5,
  },
  {
    name: "Resource Manager is unavailable", about: "Answers 503 and does nothing.",
    rule: { host: "management\\.azure\\.com", status: 503 }, rates: [0.1, 0.25, 0.5, 1], usual: 0.25,
  },
  {
    name: "Entra ID is unavailable", about: "Answers requests for tokens with 503.",
    rule: { host: "login\\.microsoftonline\\.com", status: 503 }, rates: [0.25, 0.5, 1], usual: 0.5,
  },
  {
    name: "Answers get lost", about: "Resource Manager does what it is asked, and resets the connection instead of answering.",
    rule: { host: "management\\.azure\\.com", reset: "after" }, rates: [0.05, 0.1, 0.25], usual: 0.1,
  },
  {
    name: "Everything is slow", about: "Each answer comes two seconds late.",
    rule: { delay: "2s" }, rates: [0.25, 0.5, 1], usual: 1,
  },
  {
    name: "Roles come late", about: "New role assignments are not honoured at once. Azure takes up to 10 minutes.",
    key: "rolesAfter", times: ["30s", "2m0s", "10m0s"], usual: "2m0s",
  },
  {
    name: "Federated credentials come late", about: "Entra ID does not know a new credential at once.",
    key: "credentialsAfter", times: ["30s", "2m0s", "10m0s"], usual: "30s",
  },
];

/** plan is the plan in force, without what came of it. */
function plan() {
  const { requests: _requests, faults: _faults, failed: _failed, ...rest } = known.faults ?? {};
  return rest;
}

const isEmpty = (p) => !p.rules?.length && !p.retire?.length && !p.rolesAfter && !p.credentialsAfter;
const set = (duration) => duration && !/^0s?$/.test(duration);

function same(rule, other) {
  const { rate: _a, ...one } = rule;
  const { rate: _b, ...two } = other;
  const keys = [...new Set([...Object.keys(one), ...Object.keys(two)])];
  return other.rate !== undefined && keys.every((key) => one[key] === two[key]);
}

const find = (one, p) => (one.key ? (set(p[one.key]) ? p[one.key] : undefined) : p.rules?.find((r) => same(one.rule, r))?.rate);

let busy = false;
let wrong = ""; // with a switch

async function apply(change, what) {
  if (busy || !known.faults) return;
  busy = true;
  wrong = "";
  try {
    const before = plan();
    const next = structuredClone(before);
    change(next);
    if (next.rules?.length === 0) delete next.rules;
    // Only the end of a plan makes roles and credentials that wait be honoured.
    const ends = ["rolesAfter", "credentialsAfter"].some((key) => set(before[key]) && !set(next[key]));
    if (ends || isEmpty(next)) await setFaults(null);
    if (!isEmpty(next)) await setFaults(next);
    say(what);
  } catch (e) {
    wrong = e.message;
  }
  busy = false;
  render();
}

function toggle(one, value) {
  return apply((p) => {
    if (one.key) {
      if (value === undefined) delete p[one.key];
      else p[one.key] = value;
      return;
    }
    p.rules ??= [];
    const at = p.rules.findIndex((r) => same(one.rule, r));
    if (value === undefined) p.rules.splice(at, 1);
    else if (at >= 0) p.rules[at].rate = value;
    else p.rules.push({ ...one.rule, rate: value });
  }, `${one.name}: ${value === undefined ? "off" : "on"}`);
}

const chosen = new Map(); // of switches that are off: what they are switched on with
const percent = (rate) => (rate === 1 ? "all requests" : `${Math.round(rate * 100)}% of requests`);
const duration = (text) => text.replace(/^(\d+)m0s$/, "$1 min").replace(/^(\d+)s$/, "$1 s");

function row(one, i) {
  const value = find(one, plan());
  const isOn = value !== undefined;
  const usual = chosen.get(i) ?? one.usual;
  const values = [...(one.rates ?? one.times)];
  if (isOn && !values.includes(value)) values.push(value);
  const select = h("select", {
    "aria-label": `${one.name}: how ${one.key ? "late" : "many"}`, id: `amount-${i}`,
    onchange: (e) => {
      const picked = one.key ? e.target.value : Number(e.target.value);
      chosen.set(i, picked);
      if (isOn) toggle(one, picked);
    },
  }, values.map((v) => h("option", { value: String(v), selected: v === (isOn ? value : usual) }, one.key ? duration(v) : percent(v))));
  return h("li", { class: isOn ? "on" : "" },
    h("button", {
      type: "button", role: "switch", "aria-checked": String(isOn), id: `switch-${i}`, "aria-labelledby": `switch-name-${i}`,
      "aria-describedby": `switch-about-${i}`, disabled: !known.faults,
      onclick: () => toggle(one, isOn ? undefined : chosen.get(i) ?? one.usual),
    }, h("span", { class: "knob", "aria-hidden": "true" })),
    h("div", { class: "about" }, h("b", { id: `switch-name-${i}` }, one.name), h("p", { id: `switch-about-${i}` }, one.about)),
    select);
}

/** yaml writes a plan as a person would. */
function yaml(p) {
  if (isEmpty(p)) return "";
  const scalar = (v) => (typeof v === "string" ? (/^[A-Za-z0-9.]+$/.test(v) && !/^(true|false|null|on|off|yes|no|y|n|~|[\d.]+(e\d+)?)$/i.test(v) ? v : `'${v.replaceAll("'", "''")}'`) : String(v));
  const flow = (o) => `{${Object.entries(o).map(([k, v]) => `${k === "on" ? "'on'" : k}: ${scalar(v)}`).join(", ")}}`;
  return Object.entries(p).filter(([, v]) => !(Array.isArray(v) && v.length === 0))
    .map(([k, v]) => (Array.isArray(v) ? `${k}:\n${v.map((o) => `  - ${flow(o)}`).join("\n")}` : `${k}: ${scalar(v)}`)).join("\n") + "\n";
}

let shown = ""; // the plan as the text area was given it

function renderReport() {
  const box = $("report");
  if (!known.faults) {
    replace(box, h("p", { class: "empty" }, "Not known yet."));
    return;
  }
  const { requests = 0, faults = 0, failed = 0 } = known.faults;
  const met = known.requests.filter((r) => r.fault).slice(-12).reverse();
  replace(box,
    h("dl", { class: "numbers" },
      h("div", {}, h("dt", {}, "Requests"), h("dd", {}, String(requests))),
      h("div", {}, h("dt", {}, "Met a fault"), h("dd", {}, String(faults))),
      h("div", {}, h("dt", {}, "Failed"), h("dd", {}, String(failed)))),
    h("div", { class: "meter", "aria-hidden": "true" }, h("progress", { max: String(Math.max(1, requests)), value: String(faults) })),
    met.length ? h("ul", { class: "met" }, met.map((r) => h("li", {},
      h("time", { datetime: r.time }, clock(r.time)),
      h("button", { type: "button", class: "link", onclick: () => { selection.set({ request: r }); location.hash = "activity"; } }, `${r.status || "reset"} ${r.method} ${r.path.split("/").slice(-2).join("/")}`),
      h("span", { class: "muted" }, `${r.service} · ${caller(r)}`))))
      : h("p", { class: "empty" }, isEmpty(plan()) ? "No faults: every request is answered as Azure would." : "No request has met a fault since the plan was set."));
}

function render() {
  const p = plan();
  const active = (p.rules?.length ?? 0) + (p.retire?.length ?? 0) + ["rolesAfter", "credentialsAfter"].filter((key) => set(p[key])).length;
  $("faults-badge").hidden = active === 0;
  replace($("faults-badge"), String(active), h("span", { class: "hidden" }, " on"));
  $("all-off").hidden = active === 0;
  const focused = document.activeElement?.id;
  replace($("switches"), switches.map(row), wrong && h("li", { class: "error", role: "alert" }, wrong));
  if (focused && $("switches").querySelector(`#${CSS.escape(focused)}`)) $(focused).focus();
  const text = yaml(p);
  if ($("plan").value === shown) { // nobody is editing it
    $("plan").value = text;
    shown = text;
  } else if (text === $("plan").value) {
    shown = text;
  }
  $("plan").placeholder = "rules:\n  - {host: '.+\\.vault\\.azure\\.net', rate: 0.5, status: 429, retryAfter: 2s}";
  renderReport();
}

export function start() {
  on("faults", render);
  on("requests", () => { if (document.body.dataset.view === "faults") renderReport(); });
  $("all-off").addEventListener("click", () => {
    $("switch-0").focus();
    apply((p) => { for (const key of Object.keys(p)) delete p[key]; }, "All faults are off");
  });
  $("plan-form").addEventListener("submit", async (e) => {
    e.preventDefault();
    const text = $("plan").value;
    $("plan-error").textContent = "";
    $("plan").removeAttribute("aria-invalid");
    try {
      await setFaults(text.trim() === "" ? null : text);
      shown = text;
      render();
      say("The plan is in force");
    } catch (error) {
      $("plan").setAttribute("aria-invalid", "true");
      $("plan-error").textContent = error.message;
    }
  });
  $("plan-reset").addEventListener("click", () => {
    $("plan").value = shown = yaml(plan());
    $("plan-error").textContent = "";
    $("plan").removeAttribute("aria-invalid");
  });
  window.addEventListener("hashchange", () => { if (location.hash === "#faults") renderReport(); });
  render();
}

