// The tree of resources, with the keys of a tree (https://www.w3.org/WAI/ARIA/apg/patterns/treeview/).

import { $, h, replace } from "./dom.js";
import { known, on } from "./cloud.js";
import { icon } from "./icons.js";
import { iconName, lastOf, sameId, typeName } from "./names.js";
import { selection } from "./selection.js";

const closed = new Set(); // ids, in lower case
let current = ""; // the one that Tab leads to
let typed = "", typedAt = 0;

/** title is what a resource is called: a role assignment has its role for a name. */
export const title = (r) => (/\/subscriptions$/i.test(r.type) ? `Subscription ${r.name.slice(-4)}` : r.role || r.name || lastOf(r.id));

function order(a, b) {
  const rank = (r) => (r.deleted ? 3 : /roleassignments$/i.test(r.type) ? 2 : /locks$|diagnosticsettings$/i.test(r.type) ? 1 : 0);
  return rank(a) - rank(b) || typeName(a.type).localeCompare(typeName(b.type)) || title(a).localeCompare(title(b));
}

function build(children, parent, level) {
  const all = (children.get(parent) ?? []).sort(order);
  return all.map((r, i) => {
    const id = r.id.toLowerCase();
    const below = children.has(id);
    const open = below && !closed.has(id);
    const state = r.deleted ? "deleted" : r.state && r.state !== "Succeeded" ? r.state : "";
    return h("li", {
      role: "treeitem", "data-id": id, tabindex: id === current ? "0" : "-1",
      "aria-level": String(level), "aria-setsize": String(all.length), "aria-posinset": String(i + 1),
      "aria-expanded": below ? String(open) : null, "aria-selected": String(sameId(selection.resource, r.id)),
    },
      h("div", { class: "item", title: `${title(r)}, ${r.principal ? `for ${r.principal}` : typeName(r.type)}` },
        h("span", { class: `twist${below ? "" : " leaf"}` }, below && icon("more", 12)),
        icon(iconName(r.type)),
        h("span", { class: "title" }, title(r)),
        state && h("span", { class: `tag ${/fail/i.test(state) ? "bad" : "warn"}` }, state),
        h("span", { class: "type" }, r.principal ? `for ${r.principal}` : typeName(r.type))),
      below && h("ul", { role: "group", hidden: !open }, build(children, id, level + 1)));
  });
}

function render() {
  const tree = $("tree");
  const hadFocus = tree.contains(document.activeElement);
  const ids = new Set(known.resources.map((r) => r.id.toLowerCase()));
  const children = new Map();
  for (const r of known.resources) {
    const parent = r.parent && ids.has(r.parent.toLowerCase()) && !sameId(r.parent, r.id) ? r.parent.toLowerCase() : "";
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(r);
  }
  if (!ids.has(current)) current = (children.get("") ?? []).sort(order)[0]?.id.toLowerCase() ?? "";
  $("resources-count").textContent = known.resources.length || "";
  replace(tree, known.resources.length ? build(children, "", 1) : h("li", { class: "empty", role: "none" }, "No resources yet."));
  if (hadFocus) item(current)?.focus();
}

const item = (id) => $("tree").querySelector(`[data-id="${CSS.escape(id)}"]`);
const visible = () => [...$("tree").querySelectorAll('[role="treeitem"]')].filter((one) => !one.parentElement.closest("[hidden]"));

function goTo(element) {
  if (!element) return;
  item(current)?.setAttribute("tabindex", "-1");
  current = element.dataset.id;
  element.setAttribute("tabindex", "0");
  element.focus();
  element.querySelector(".item").scrollIntoView({ block: "nearest" });
}

function setOpen(element, open) {
  if (!element.hasAttribute("aria-expanded")) return;
  if (open) closed.delete(element.dataset.id);
  else closed.add(element.dataset.id);
  element.setAttribute("aria-expanded", String(open));
  element.querySelector(':scope > [role="group"]').hidden = !open;
}

function select(element) {
  const r = known.resources.find((one) => one.id.toLowerCase() === element.dataset.id);
  if (r) selection.set({ resource: r.id });
}

function onKey(e) {
  const at = e.target.closest('[role="treeitem"]');
  if (!at || e.ctrlKey || e.metaKey || e.altKey) return;
  const all = visible();
  const i = all.indexOf(at);
  const open = at.getAttribute("aria-expanded");
  switch (e.key) {
    case "ArrowDown": goTo(all[i + 1]); break;
    case "ArrowUp": goTo(all[i - 1]); break;
    case "Home": goTo(all[0]); break;
    case "End": goTo(all.at(-1)); break;
    case "ArrowRight":
      if (open === "false") setOpen(at, true);
      else if (open === "true") goTo(all[i + 1]);
      break;
    case "ArrowLeft":
      if (open === "true") setOpen(at, false);
      else goTo(at.parentElement.closest('[role="treeitem"]'));
      break;
    case "Enter":
    case " ": select(at); break;
    default: {
      if (e.key.length !== 1) return;
      typed = e.timeStamp - typedAt < 700 ? typed + e.key.toLowerCase() : e.key.toLowerCase();
      typedAt = e.timeStamp;
      const from = typed.length > 1 ? i : i + 1;
      const next = [...all.slice(from), ...all.slice(0, from)];
      goTo(next.find((one) => one.querySelector(".title").textContent.toLowerCase().startsWith(typed)));
    }
  }
  e.preventDefault();
}

/** reveal opens the tree down to a resource. */
export function reveal(id) {
  for (let up = item(id.toLowerCase())?.parentElement.closest('[role="treeitem"]'); up; up = up.parentElement.closest('[role="treeitem"]')) {
    setOpen(up, true);
  }
  item(id.toLowerCase())?.querySelector(".item").scrollIntoView({ block: "nearest" });
}

export function start() {
  const tree = $("tree");
  tree.addEventListener("keydown", onKey);
  tree.addEventListener("click", (e) => {
    const at = e.target.closest('[role="treeitem"]');
    if (!at) return;
    goTo(at);
    if (e.target.closest(".twist")) setOpen(at, at.getAttribute("aria-expanded") === "false");
    else select(at);
  });
  selection.on(() => {
    for (const one of tree.querySelectorAll('[aria-selected="true"]')) one.setAttribute("aria-selected", "false");
    if (selection.resource) item(selection.resource.toLowerCase())?.setAttribute("aria-selected", "true");
  });
  on("resources", render);
  render();
}
