// The page: which view is shown, how the cloud is, and what is selected.

import { $, h, replace, say } from "./dom.js";
import { known, on, start } from "./cloud.js";
import { icon } from "./icons.js";
import { ago, left, place } from "./names.js";
import { selection } from "./selection.js";
import * as details from "./details.js";
import * as faults from "./faults.js";
import * as graph from "./graph.js";
import * as pods from "./pods.js";
import * as requests from "./requests.js";
import * as tree from "./tree.js";

const views = ["activity", "graph", "pods", "faults"];

function show() {
  const asked = location.hash.slice(1);
  const view = views.includes(asked) ? asked : "activity";
  for (const one of views) $(one).hidden = one !== view;
  document.body.dataset.view = view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view.charAt(0).toUpperCase()}${view.slice(1)} · Local cloud`;
  details.render();
  if (view === "graph") graph.render();
  if (view === "pods") pods.render();
}

const states = {
  connecting: "Connecting",
  running: "Running",
  starting: "Starting",
  stopped: "Stopped",
  unreachable: "Unreachable",
  gone: "Dashboard ended",
};

function renderState() {
  const { state, status } = known;
  $("state").dataset.state = state;
  const since = state === "running" && status.started ? ` for ${ago(status.started)}` : "";
  replace($("state"), h("span", { class: "dot", "aria-hidden": "true" }), `${states[state] ?? state}${since}`);
  if (status.name) {
    $("name").textContent = status.name;
  }
  const banners = {
    stopped: ["The local cloud is stopped.", "localcloud start", "starts it. This page goes on by itself."],
    starting: ["The local cloud is starting. This page goes on by itself."],
    unreachable: [`The local cloud cannot be reached: ${known.message}`],
    gone: ["The server of this page has ended. Run", "localcloud dashboard", "again and open the URL that it prints."],
  };
  const text = banners[state];
  $("banner").hidden = !text;
  if (text) replace($("banner"), icon("fault"), h("span", {}, text[0], " ", text[1] && h("code", {}, text[1]), " ", text[2]));
  document.body.classList.toggle("stale", Boolean(text));
}

function renderOperations() {
  const box = $("operations");
  box.hidden = known.operations.length === 0;
  replace(box, known.operations.map((o) => {
    const now = performance.now();
    const rest = o.until === null ? null : Math.max(0, o.until - now);
    const begun = o.started ? Date.now() - new Date(o.started) : 0;
    const whole = rest === null ? 0 : begun + rest;
    return h("div", { class: "operation" },
      h("span", { class: "what" }, h("b", {}, o.what), " ", place(o.resource)),
      h("span", { class: "left" }, rest === null ? `for ${ago(o.started)}` : rest > 0 ? `${left(rest)} left` : "about to end"),
      rest === null || whole <= 0
        ? h("progress", { "aria-label": `${o.what} ${place(o.resource)}` })
        : h("progress", { "aria-label": `${o.what} ${place(o.resource)}`, max: "1000", value: String(Math.round((1000 * begun) / whole)) }));
  }));
}

document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault();
  $("main").focus();
});
window.addEventListener("hashchange", show);
on("state", renderState);
on("state", () => { if (known.state !== "connecting") say(states[known.state]); });
on("operations", renderOperations);
setInterval(() => {
  renderState();
  if (known.operations.length) renderOperations();
}, 1000);

selection.on(() => details.render());
if (matchMedia("(max-width: 900px)").matches) $("resources").open = false;
for (const one of [requests, tree, graph, pods, faults]) one.start();
show();
renderState();
start();
