// The list of requests, the newest first, with its filter.

import { $, h, replace } from "./dom.js";
import { known, on } from "./cloud.js";
import { caller, outcome, outcomeWords, why } from "./decisions.js";
import { icon } from "./icons.js";
import { clock, place, took, within } from "./names.js";
import { selection } from "./selection.js";

const filter = { outcome: "all", service: "", caller: "", text: "", scope: "" };
const shownAtOnce = 300;
let limit = shownAtOnce;
let paused = null; // requests that have come meanwhile

/** about says whether a request is about a resource or what is below it. */
export const about = (r, id) => within(r.path, id) || within(r.decision?.scope, id);

function matches(r) {
  if (filter.outcome === "refused" && outcome(r) !== "refused") return false;
  if (filter.outcome === "faults" && !r.fault) return false;
  if (filter.service && r.service !== filter.service) return false;
  if (filter.caller && caller(r) !== filter.caller) return false;
  if (filter.scope && !about(r, filter.scope)) return false;
  if (!filter.text) return true;
  const text = [r.method, r.host, r.path, r.decision?.action, r.decision?.role, r.error, r.status, r.fault].join(" ").toLowerCase();
  return filter.text.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const icons = { ok: "ok", refused: "refused", fault: "fault", signin: "more", missing: "none", failed: "close" };

/** shortPath is the part of a path that tells most: of an ARM id, what is behind the resource group. */
function shortPath(r) {
  const short = r.path.replace(/^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\./i, "…/")
    .replace(/^\/subscriptions\/[^/]+\//i, "…/")
    .replace(/\/providers\/Microsoft\.Authorization\//i, "/…/");
  return short.replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, (id) => `${id.slice(0, 8)}…`);
}

function row(r) {
  const kind = outcome(r);
  return h("div", {
    class: `row ${kind}${r.fault ? " met" : ""}`, role: "option", id: `request-${r.number}`,
    "aria-selected": String(selection.request?.number === r.number),
  },
    h("span", { class: "mark" }, icon(icons[kind], 14), h("span", { class: "hidden" }, outcomeWords[kind])),
    h("span", { class: "status" }, r.status ? String(r.status) : "—"),
    h("span", { class: "call" }, h("b", {}, r.method), " ", h("span", { class: "path" }, shortPath(r))),
    h("time", { datetime: r.time }, clock(r.time)),
    h("span", { class: "line" }, h("span", { class: "who" }, caller(r)), h("span", { class: "why" }, why(r))),
    h("span", { class: "service" }, r.service, h("span", { class: "took" }, ` · ${took(r.tookMs)}`)));
}

const visible = () => (paused ? known.requests.filter((r) => !paused.has(r)) : known.requests);

function renderList() {
  const found = visible().filter(matches).reverse();
  const some = found.slice(0, limit);
  const list = $("list");
  replace(list, some.length ? some.map(row) : h("p", { class: "empty" }, known.requests.length
    ? "No request matches the filter."
    : "No requests yet. What uses the local cloud appears here as it happens."));
  $("list-end").replaceChildren();
  if (found.length > some.length) {
    $("list-end").append(h("button", {
      type: "button", class: "quiet", onclick: () => { limit += shownAtOnce; renderList(); },
    }, `Show ${Math.min(shownAtOnce, found.length - some.length)} more of ${found.length - some.length}`));
  }
  renderCount(found.length);
  markActive();
}

function renderCount(n) {
  const all = known.requests.length;
  $("requests-count").textContent = n === all ? String(all) : `${n} of ${all}`;
  const count = (f) => known.requests.filter(f).length || "";
  $("refused-count").textContent = count((r) => outcome(r) === "refused");
  $("met-count").textContent = count((r) => r.fault);
}

function markActive() {
  const list = $("list");
  for (const one of list.querySelectorAll('[aria-selected="true"]')) one.setAttribute("aria-selected", "false");
  const chosen = selection.request && $(`request-${selection.request.number}`);
  if (chosen) {
    chosen.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", chosen.id);
  } else {
    list.removeAttribute("aria-activedescendant");
  }
}

function choose(element) {
  const r = known.requests.find((one) => `request-${one.number}` === element?.id);
  if (!r) return;
  selection.set({ request: r });
  element.scrollIntoView({ block: "nearest" });
}

function onKey(e) {
  const rows = [...$("list").querySelectorAll(".row")];
  if (rows.length === 0 || e.ctrlKey || e.metaKey || e.altKey) return;
  const at = rows.findIndex((one) => one.getAttribute("aria-selected") === "true");
  const to = {
    ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: rows.length - 1,
  }[e.key];
  if (to === undefined) {
    if (e.key === "Enter" && at >= 0) $("details").focus();
    return;
  }
  e.preventDefault();
  choose(rows[Math.min(rows.length - 1, Math.max(0, to))]);
}

/** options puts what occurs into a select, which keeps its value. */
function options(select, values) {
  const have = [...select.options].slice(1).map((o) => o.value);
  const now = [...new Set(values)].filter(Boolean).sort();
  if (filter[select.name] && !now.includes(filter[select.name])) now.push(filter[select.name]);
  if (have.join("\n") === now.join("\n")) return;
  select.replaceChildren(select.options[0], ...now.map((v) => h("option", { value: v }, v)));
  select.value = filter[select.name];
}

function onRequests(fresh) {
  const form = $("filter");
  options(form.elements.service, known.requests.map((r) => r.service));
  options(form.elements.caller, known.requests.map(caller));
  if (!fresh) {
    selection.set({ resource: selection.resource });
    renderList();
    return;
  }
  if (paused) {
    for (const r of fresh) paused.add(r);
    $("pause").textContent = `Resume (${paused.size})`;
    return;
  }
  const found = fresh.filter(matches);
  const list = $("list");
  if (!list.querySelector(".row") || found.length > 50) {
    renderList();
    return;
  }
  list.prepend(...found.reverse().map(row));
  while (list.childElementCount > limit) list.lastElementChild.remove();
  renderCount(known.requests.filter(matches).length);
  markActive();
}

/** only shows the requests about a resource, or all of them. */
export function only(id) {
  filter.scope = id;
  $("scope").hidden = !id;
  if (id) {
    replace($("scope"), h("span", {}, "About ", h("b", {}, place(id))),
      h("button", { type: "button", class: "quiet", onclick: () => only("") }, "Show all"));
  }
  limit = shownAtOnce;
  renderList();
}

export function start() {
  const form = $("filter");
  form.addEventListener("submit", (e) => e.preventDefault());
  form.addEventListener("input", () => {
    for (const name of ["outcome", "service", "caller", "text"]) filter[name] = form.elements[name].value;
    limit = shownAtOnce;
    renderList();
  });
  form.reset();
  $("list").addEventListener("keydown", onKey);
  $("list").addEventListener("click", (e) => choose(e.target.closest(".row")));
  $("pause").addEventListener("click", () => {
    paused = paused ? null : new Set();
    $("pause").setAttribute("aria-pressed", String(Boolean(paused)));
    $("pause").textContent = paused ? "Resume" : "Pause";
    if (!paused) renderList();
  });
  on("requests", onRequests);
  selection.on(markActive);
  renderList();
}
