// What is known of the request or resource that is selected.

import { $, copyButton, h, replace } from "./dom.js";
import { known, on } from "./cloud.js";
import { action, caller, grantCommand, outcome, pendingLeft, why } from "./decisions.js";
import { icon } from "./icons.js";
import { clock, iconName, place, sameId, took, typeName } from "./names.js";
import { about, only } from "./requests.js";
import { selection } from "./selection.js";
import { reveal, title } from "./tree.js";

const fact = (name, ...value) => {
  const some = value.flat().filter(Boolean);
  return some.length > 0 && h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, some));
};
const code = (text) => text && h("code", {}, breakable(text));

/** breakable lets a long text go on in the next line behind each slash, dot or colon. */
const breakable = (text) => text.split(/(?<=[/.:])/).flatMap((part) => [part, h("wbr")]);

/** link selects a resource, where it is known. */
function link(id) {
  const r = known.resources.find((one) => sameId(one.id, id));
  if (!r) return h("span", { title: id }, place(id));
  return h("button", {
    type: "button", class: "link", title: id,
    onclick: () => { selection.set({ resource: r.id }); reveal(r.id); },
  }, place(id));
}

const verdicts = {
  ok: "Allowed", refused: "Refused", fault: "Failed by a fault", signin: "Not signed in", missing: "Not found", failed: "Failed",
};

function request(r) {
  const d = r.decision;
  const kind = outcome(r);
  const command = grantCommand(r);
  return [
    h("div", { class: `verdict ${kind}` },
      h("h3", {}, icon({ ok: "ok", refused: "refused", fault: "fault" }[kind] ?? "more", 18), verdicts[kind]),
      h("p", {}, kind === "refused" && d?.candidates?.length && !d.pending?.length
        ? `${caller(r)} needs a role such as ${d.candidates[0]} on ${place(d.scope)}.`
        : why(r) || "It asks for nothing that takes a role.")),
    h("dl", {},
      d && [
        h("h4", {}, "Decision"),
        fact("Action", code(d.action)),
        fact("Plane", d.plane),
        fact("On", d.scope && link(d.scope)),
        fact("Missing", d.missing),
        d.allowed && fact("Role", d.role),
        d.allowed && fact("Assigned on", d.assignedAt && link(d.assignedAt)),
        fact("Because", d.role ? "" : d.because),
        d.pending?.length > 0 && fact("Assigned, not honoured yet",
          h("ul", {}, d.pending.map((p) => h("li", {}, `${p.role} on ${place(p.assignedAt)}: `, h("b", { "data-effective": p.effectiveOn }, pendingLeft(p)))))),
        d.others?.length > 0 && fact("Assigned, but",
          h("ul", {}, d.others.map((o) => h("li", {}, `${o.role} on ${place(o.assignedAt)}: ${o.why}`)))),
        d.candidates?.length > 0 && fact("Roles that allow it",
          h("ul", { class: "roles" }, d.candidates.map((role) => h("li", {}, role)))),
        command && h("div", { class: "command" }, h("dt", {}, "Grant the first"), h("dd", {}, h("pre", { tabindex: "0" }, command), copyButton(command, "the command"))),
      ],
      h("h4", {}, "Caller"),
      fact("Name", caller(r)),
      fact("Kind", r.caller?.kind),
      fact("Object ID", code(r.caller?.objectId)),
      fact("Signed in as", code(r.caller?.subject)),
      h("h4", {}, "Request"),
      fact("Service", r.service),
      fact("Host", code(r.host)),
      fact("Path", code(`${r.method} ${r.path}`)),
      fact("API version", code(r.apiVersion)),
      fact("Answer", r.status ? `${r.status}${r.error ? ` ${r.error}` : ""}` : "none"),
      fact("Fault", r.fault),
      fact("Time", `${clock(r.time)}, ${took(r.tookMs)}`),
      fact("Number", String(r.number))),
  ];
}

function resource(r) {
  const roles = known.resources.filter((o) => /roleassignments$/i.test(o.type) && (sameId(o.parent, r.id) || o.uses?.some((u) => sameId(u, r.id))));
  const usedBy = known.resources.filter((o) => !/roleassignments$/i.test(o.type) && o.uses?.some((u) => sameId(u, r.id)));
  const requests = known.requests.filter((q) => about(q, r.id));
  const refused = requests.filter((q) => outcome(q) === "refused").length;
  const tags = Object.entries(r.tags ?? {});
  return [
    h("div", { class: "verdict resource" },
      h("h3", {}, icon(iconName(r.type), 18), title(r)),
      h("p", {}, typeName(r.type), r.deleted ? ", deleted: it can be recovered until it is purged" : "")),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "quiet", onclick: () => { location.hash = "activity"; only(r.id); } },
        `Requests about it (${requests.length}${refused ? `, ${refused} refused` : ""})`)),
    h("dl", {},
      fact("Name", r.name !== title(r) && code(r.name)),
      fact("State", r.state),
      fact("Location", r.location),
      fact("In", r.parent && link(r.parent)),
      fact("Uses", r.uses?.length > 0 && h("ul", {}, r.uses.map((id) => h("li", {}, link(id))))),
      fact("Used by", usedBy.length > 0 && h("ul", {}, usedBy.map((o) => h("li", {}, link(o.id))))),
      fact("Role assignments", roles.length > 0 && h("ul", {}, roles.map((o) => h("li", {}, assignment(o, r))))),
      fact("Tags", tags.length > 0 && h("ul", { class: "roles" }, tags.map(([name, value]) => h("li", {}, `${name}: ${value}`)))),
      fact("Type", code(r.type)),
      fact("API version", code(r.apiVersion)),
      h("div", { class: "command" }, h("dt", {}, "ID"), h("dd", {}, h("pre", { tabindex: "0" }, r.id), copyButton(r.id, "the ID")))),
  ];
}

/** assignment says of a role assignment what its resource's page does not: who has the role, or on what. */
function assignment(o, at) {
  if (!sameId(o.parent, at.id)) return [h("b", {}, title(o)), " on ", link(o.parent)];
  const identity = o.uses?.find((u) => !/roledefinitions/i.test(u));
  return [h("b", {}, title(o)), " for ", identity ? link(identity) : o.principal || "a principal"];
}

/** render shows the selection, where the view has a place for it. */
export function render() {
  const box = $("details");
  const view = document.body.dataset.view;
  const r = selection.resource && known.resources.find((one) => sameId(one.id, selection.resource));
  const what = selection.request ?? r;
  const shown = Boolean(what) && (view === "activity" || view === "graph");
  box.hidden = !shown;
  $("body").classList.toggle("with-details", shown);
  if (!shown) return;
  const scrolled = box.dataset.of === (what.id ?? String(what.number)) ? box.scrollTop : 0;
  box.dataset.of = what.id ?? String(what.number);
  const hadFocus = box.contains(document.activeElement) && document.activeElement !== box;
  box.setAttribute("tabindex", "-1");
  replace(box,
    h("button", { type: "button", class: "close", "aria-label": "Close details", onclick: close }, icon("close")),
    selection.request ? request(selection.request) : resource(r));
  if (hadFocus) box.focus();
  box.scrollTop = scrolled;
}

function close() {
  const back = selection.request ? $("list") : document.querySelector('#tree [tabindex="0"]');
  selection.set({});
  if (document.body.dataset.view === "activity") back?.focus();
}

addEventListener("keydown", (e) => {
  if (e.key === "Escape" && !$("details").hidden && !e.defaultPrevented) close();
});

on("resources", () => { if (selection.resource) render(); });
setInterval(() => {
  for (const one of $("details").querySelectorAll("[data-effective]")) {
    one.textContent = pendingLeft({ effectiveOn: one.dataset.effective });
  }
}, 1000);

