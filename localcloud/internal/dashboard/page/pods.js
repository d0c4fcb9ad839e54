// What pods mount, and how their files were rotated.

import { $, h, replace } from "./dom.js";
import { known, on } from "./cloud.js";
import { icon } from "./icons.js";
import { ago, clock, lastOf } from "./names.js";

const shortVersion = (version) => (version ? version.slice(0, 8) : "");

function card(m) {
  return h("article", { class: `card${m.mounted ? "" : " bad"}` },
    h("header", {},
      icon("pool"),
      h("h3", {}, m.pod),
      h("span", { class: `tag ${m.mounted ? "good" : "bad"}` }, m.mounted ? "mounted" : "not mounted"),
      m.since && h("span", { class: "muted" }, m.mounted ? `for ${ago(m.since)}` : `for ${ago(m.since)}`)),
    h("p", { class: "muted" }, [m.namespace, m.serviceAccount && `service account ${m.serviceAccount}`, m.class && `class ${m.class}`, m.cluster && `cluster ${lastOf(m.cluster)}`].filter(Boolean).join(" · ")),
    m.message && h("p", { class: "why" }, m.message),
    m.objects?.length > 0 && h("table", {},
      h("caption", { class: "hidden" }, `Objects that ${m.pod} mounts`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Object"), h("th", { scope: "col" }, "Version"))),
      h("tbody", {}, m.objects.map((o) => h("tr", {}, h("td", {}, h("code", {}, o.id)), h("td", {}, h("code", { title: o.version }, shortVersion(o.version))))))));
}

/** render shows the pods, those that mount nothing first. */
export function render() {
  const failing = known.mounts.filter((m) => !m.mounted).length;
  $("pods-badge").hidden = failing === 0;
  replace($("pods-badge"), String(failing), h("span", { class: "hidden" }, " not mounted"));
  $("mounts-count").textContent = known.mounts.length || "";
  if (document.body.dataset.view !== "pods") return;
  const mounts = known.mounts.toSorted((a, b) => a.mounted - b.mounted || `${a.namespace}/${a.pod}`.localeCompare(`${b.namespace}/${b.pod}`));
  replace($("mounts"), mounts.length ? mounts.map(card)
    : h("p", { class: "empty" }, "No pod mounts anything from a key vault."));
  const rotations = known.rotations.toSorted((a, b) => new Date(b.time) - new Date(a.time));
  replace($("rotations"), rotations.length ? rotations.map((r) => h("li", {},
    h("time", { datetime: r.time }, clock(r.time)),
    h("span", {}, h("code", {}, r.object), " in ", h("b", {}, r.pod), h("span", { class: "muted" }, ` ${r.namespace}`)),
    h("span", { class: "versions" }, h("code", { title: r.from }, shortVersion(r.from)), " → ", h("code", { title: r.to }, shortVersion(r.to)))))
    : h("li", { class: "empty" }, "No rotation yet: a new version of a secret arrives here once the driver has mounted it."));
}

export function start() {
  on("mounts", render);
  setInterval(() => { if (document.body.dataset.view === "pods" && !$("pods").contains(document.activeElement)) render(); }, 10000);
}
