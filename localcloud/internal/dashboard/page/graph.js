// The graph of resources. The server finds the places, and this draws them.

import { $, h, replace, s } from "./dom.js";
import * as cloud from "./cloud.js";
import { icon } from "./icons.js";
import { iconName, sameId, typeName } from "./names.js";
import { selection } from "./selection.js";
import { title } from "./tree.js";

let drawn = null; // where everything is
let zoom = 0; // 0: as it fits
let current = ""; // the node that Tab leads to

const margin = 20;
const shown = () => document.body.dataset.view === "graph";
const short = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);

/** curve is the path of an edge through its points: straight through boxes' columns, and bent between them. */
function curve(points) {
  let d = `M${points[0]}`;
  for (let i = 1; i < points.length; i++) {
    const [[x, y], [x2, y2]] = [points[i - 1], points[i]];
    if (y === y2) d += ` L${x2},${y2}`;
    else {
      const middle = (x + x2) / 2;
      d += ` C${middle},${y} ${middle},${y2} ${x2},${y2}`;
    }
  }
  return d;
}

function node(n, r) {
  const role = /roleassignments$/i.test(r.type);
  const state = r.deleted ? "deleted" : r.state && r.state !== "Succeeded" ? r.state : "";
  const id = r.id.toLowerCase();
  const edges = drawn.edges.filter((e) => sameId(e.from, r.id) || sameId(e.to, r.id)).length;
  const picture = icon(iconName(r.type));
  picture.setAttribute("x", role ? "8" : "12");
  picture.setAttribute("y", String(n.h / 2 - 8));
  return s("g", {
    class: `node${role ? " role" : ""}${state ? " pending" : ""}`, role: "button", "data-id": id,
    tabindex: id === current ? "0" : "-1", transform: `translate(${n.x},${n.y})`,
    "aria-pressed": String(sameId(selection.resource, r.id)),
    "aria-label": `${title(r)}, ${typeName(r.type)}${state ? `, ${state}` : ""}, ${edges} ${edges === 1 ? "line" : "lines"}`,
  },
    s("title", {}, `${title(r)} (${typeName(r.type)})`),
    s("rect", { width: n.w, height: n.h, rx: role ? n.h / 2 : 8 }),
    picture,
    role
      ? s("text", { x: 30, y: n.h / 2 + 4, class: "small" }, short(title(r), 24))
      : [s("text", { x: 38, y: 18 }, short(title(r), 20)), s("text", { x: 38, y: 33, class: "small" }, short(state || typeName(r.type), 23))]);
}

function draw() {
  const canvas = $("canvas");
  const known = new Map(cloud.known.resources.map((r) => [r.id.toLowerCase(), r]));
  const nodes = (drawn?.nodes ?? []).filter((n) => known.has(n.id.toLowerCase()));
  if (nodes.length === 0) {
    replace(canvas, h("p", { class: "empty" }, "No resources yet."));
    return;
  }
  const had = canvas.contains(document.activeElement);
  if (!nodes.some((n) => n.id.toLowerCase() === current)) current = nodes[0].id.toLowerCase();
  const [w, height] = [drawn.width + 2 * margin, drawn.height + 2 * margin];
  const svg = s("svg", { viewBox: `${-margin} ${-margin} ${w} ${height}`, role: "group", "aria-label": "Resources; arrow keys go from one to the next, Enter shows it" },
    s("defs", {}, ["has", "uses", "grants"].map((kind) => s("marker", { id: `to-${kind}`, class: kind, viewBox: "0 0 8 8", refX: "7", refY: "4", markerWidth: "7", markerHeight: "7", orient: "auto-start-reverse" }, s("path", { d: "M0 0.8 7 4 0 7.2z" })))),
    s("g", { class: "edges" }, drawn.edges.filter((e) => e.points.length).map((e) => s("path", {
      class: e.kind, d: curve(e.points), "data-from": e.from.toLowerCase(), "data-to": e.to.toLowerCase(),
      "marker-end": e.kind === "has" || (e.kind === "grants" && isRole(known.get(e.to.toLowerCase()))) ? null : `url(#to-${e.kind})`,
    }))),
    s("g", { class: "nodes" }, nodes.map((n) => node(n, known.get(n.id.toLowerCase())))));
  replace(canvas, svg);
  size();
  mark();
  if (had) element(current)?.focus();
}

const isRole = (r) => /roleassignments$/i.test(r?.type ?? "");
const element = (id) => $("canvas").querySelector(`[data-id="${CSS.escape(id)}"]`);

/** size makes the drawing as large as it is to be: to fit, but never so small that nobody can read it. */
function size() {
  const svg = $("canvas").querySelector("svg");
  if (!svg) return;
  const [, , w, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const fits = Math.min(($("canvas").clientWidth - 2) / w, ($("canvas").clientHeight - 2) / height);
  const factor = zoom || Math.max(0.62, Math.min(1.25, fits));
  svg.setAttribute("width", String(Math.round(w * factor)));
  svg.setAttribute("height", String(Math.round(height * factor)));
}

/** mark shows what is selected, and its lines. */
function mark() {
  const id = selection.resource?.toLowerCase() ?? "";
  const canvas = $("canvas");
  const near = new Set([id]);
  for (const path of canvas.querySelectorAll(".edges path")) {
    const mine = id !== "" && (path.dataset.from === id || path.dataset.to === id);
    path.classList.toggle("mine", mine);
    if (mine) near.add(path.dataset.from).add(path.dataset.to);
  }
  canvas.classList.toggle("chosen", Boolean(id && element(id)));
  for (const g of canvas.querySelectorAll(".node")) {
    g.setAttribute("aria-pressed", String(g.dataset.id === id));
    g.classList.toggle("near", near.has(g.dataset.id));
  }
}

function select(g) {
  const r = cloud.known.resources.find((one) => one.id.toLowerCase() === g.dataset.id);
  if (r) selection.set({ resource: r.id });
}

function goTo(g) {
  if (!g) return;
  element(current)?.setAttribute("tabindex", "-1");
  current = g.dataset.id;
  g.setAttribute("tabindex", "0");
  g.focus();
  g.scrollIntoView({ block: "nearest", inline: "nearest" });
}

const directions = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function onKey(e) {
  const g = e.target.closest(".node");
  if (!g || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "Enter" || e.key === " ") {
    e.preventDefault();
    select(g);
    return;
  }
  const direction = directions[e.key];
  if (!direction) return;
  e.preventDefault();
  const from = drawn.nodes.find((n) => n.id.toLowerCase() === g.dataset.id);
  let [best, least] = [null, Infinity];
  for (const n of drawn.nodes) {
    const [dx, dy] = [n.x + n.w / 2 - from.x - from.w / 2, n.y + n.h / 2 - from.y - from.h / 2];
    const along = dx * direction[0] + dy * direction[1];
    const aside = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
    if (n === from || along < 1 || aside > 3 * along) continue;
    if (along + 2 * aside < least) [best, least] = [n, along + 2 * aside];
  }
  if (best) goTo(element(best.id.toLowerCase()));
}

/** render asks where everything is, if the graph is to be seen. */
export async function render() {
  if (!shown()) return;
  try {
    drawn = await cloud.graph();
  } catch {
    return; // the banner says why
  }
  draw();
}

export function start() {
  const canvas = $("canvas");
  canvas.addEventListener("keydown", onKey);
  canvas.addEventListener("click", (e) => {
    const g = e.target.closest(".node");
    if (!g) return;
    goTo(g);
    select(g);
  });
  const set = (to) => { zoom = to; size(); };
  const now = () => {
    const svg = canvas.querySelector("svg");
    return svg ? Number(svg.getAttribute("width")) / Number(svg.getAttribute("viewBox").split(" ")[2]) : 1;
  };
  $("zoom-in").addEventListener("click", () => set(Math.min(2.5, now() * 1.25)));
  $("zoom-out").addEventListener("click", () => set(Math.max(0.2, now() / 1.25)));
  $("zoom-fit").addEventListener("click", () => set(0));
  addEventListener("resize", () => { if (shown()) size(); });
  cloud.on("resources", render);
  selection.on(() => { if (shown()) mark(); });
}
