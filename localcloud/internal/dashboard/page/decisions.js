// Why a request was allowed or refused, in words.

import { left, place } from "./names.js";

/** outcome is ok, refused (for want of a right), fault (injected), signin (asked to sign in first),
    missing (not there) or failed. */
export function outcome(r) {
  if (r.fault && (r.status >= 400 || r.status === 0)) return "fault";
  if (r.status === 401) return "signin";
  if (r.status === 403 || r.decision?.allowed === false) return "refused";
  if (r.status === 404) return "missing";
  if (r.status >= 400 || r.status === 0) return "failed";
  return "ok";
}

export const outcomeWords = {
  ok: "allowed", refused: "refused", fault: "fault", signin: "not signed in", missing: "not found", failed: "failed",
};

export const caller = (r) => r.caller?.name || r.caller?.objectId || r.caller?.kind || "anonymous";

/** action is the last part of an action's name, which says what it is without its provider. */
export const action = (name) => (name ?? "").replace(/^Microsoft\./i, "").split("/").slice(1).join("/") || name || "";

export function pendingLeft(p) {
  const ms = new Date(p.effectiveOn) - Date.now();
  return ms > 0 ? `honoured in ${left(ms)}` : "honoured by now";
}

/** why is a sentence on a request, for a row of the list. */
export function why(r) {
  const d = r.decision;
  if (r.fault) return `Fault: ${r.fault}`;
  if (r.status === 401) return d?.missing ? `Needs ${d.missing}` : "Asked to sign in";
  if (d && d.allowed === false) {
    if (d.pending?.length) return `${d.pending[0].role} is assigned and not honoured yet`;
    if (d.candidates?.length) return `Needs ${d.candidates[0]} on ${place(d.scope)}`;
    return d.missing || d.because || "No role allows it";
  }
  if (d?.allowed && d.role) return `${d.role} on ${place(d.assignedAt || d.scope)}`;
  if (d?.because) return d.because.charAt(0).toUpperCase() + d.because.slice(1);
  if (r.error) return r.error;
  if (r.status === 0) return "The connection ended without an answer";
  return "";
}

/** grantCommand is what gives the caller the least role that is known to allow a refused request. */
export function grantCommand(r) {
  const d = r.decision;
  if (!d || d.allowed || !d.candidates?.length || d.pending?.length || !r.caller?.objectId) return "";
  const quote = (text) => (/^[A-Za-z0-9_./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  return `az role assignment create --role ${quote(d.candidates[0])} --assignee-object-id ${quote(r.caller.objectId)} ` +
    `--assignee-principal-type ServicePrincipal --scope ${quote(d.scope)}`;
}
