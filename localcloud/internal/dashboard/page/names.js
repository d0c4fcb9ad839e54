// What Azure's ids, types and times are called here.

const types = {
  "microsoft.resources/subscriptions": ["Subscription", "subscription"],
  "microsoft.resources/resourcegroups": ["Resource group", "group"],
  "microsoft.keyvault/vaults": ["Key vault", "vault"],
  "microsoft.keyvault/deletedvaults": ["Deleted key vault", "vault"],
  "microsoft.keyvault/locations/deletedvaults": ["Deleted key vault", "vault"],
  "microsoft.keyvault/vaults/secrets": ["Secret", "secret"],
  "microsoft.keyvault/vaults/keys": ["Key", "key"],
  "microsoft.keyvault/vaults/certificates": ["Certificate", "key"],
  "microsoft.managedidentity/userassignedidentities": ["Managed identity", "identity"],
  "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials": ["Federated credential", "credential"],
  "microsoft.containerservice/managedclusters": ["AKS cluster", "cluster"],
  "microsoft.containerservice/managedclusters/agentpools": ["Node pool", "pool"],
  "microsoft.authorization/roleassignments": ["Role assignment", "role"],
  "microsoft.authorization/roledefinitions": ["Role", "role"],
  "microsoft.authorization/locks": ["Lock", "lock"],
  "microsoft.network/virtualnetworks": ["Virtual network", "network"],
  "microsoft.network/virtualnetworks/subnets": ["Subnet", "network"],
  "microsoft.network/privateendpoints": ["Private endpoint", "network"],
  "microsoft.network/privatednszones": ["Private DNS zone", "network"],
  "microsoft.network/natgateways": ["NAT gateway", "network"],
  "microsoft.network/publicipaddresses": ["Public IP address", "network"],
  "microsoft.network/networksecuritygroups": ["Network security group", "network"],
  "microsoft.operationalinsights/workspaces": ["Log Analytics workspace", "monitor"],
  "microsoft.insights/diagnosticsettings": ["Diagnostic setting", "monitor"],
  "microsoft.insights/actiongroups": ["Action group", "monitor"],
  "microsoft.storage/storageaccounts": ["Storage account", "storage"],
  "microsoft.containerregistry/registries": ["Container registry", "storage"],
  "microsoft.compute/diskencryptionsets": ["Disk encryption set", "key"],
  "microsoft.eventgrid/systemtopics": ["Event Grid system topic", "event"],
  "microsoft.eventgrid/systemtopics/eventsubscriptions": ["Event subscription", "event"],
};

const find = (type) => types[type.toLowerCase().replace("subscriptions/resourcegroups", "resourcegroups")];

/** typeName is what a type of resources is called. */
export function typeName(type) {
  const known = find(type);
  if (known) return known[0];
  const last = type.split("/").pop().replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return last.charAt(0).toUpperCase() + last.slice(1).replace(/s$/, "");
}

/** iconName is that of a type's icon. */
export const iconName = (type) => find(type)?.[1] ?? "other";

/** typeOf is the type of an ARM id. */
export function typeOf(id) {
  const at = id.toLowerCase().lastIndexOf("/providers/");
  if (at < 0) return /\/resourceGroups\//i.test(id) ? "Microsoft.Resources/resourceGroups" : "Microsoft.Resources/subscriptions";
  const [provider, ...rest] = id.slice(at + "/providers/".length).split("/");
  return [provider, ...rest.filter((_, i) => i % 2 === 0)].join("/");
}

export const lastOf = (id) => id.split("/").filter(Boolean).pop() ?? "";

/** place says what an ARM id is of, as one writes it in a sentence: "secret my-secret". */
export function place(id) {
  if (!id) return "";
  if (id === "/") return "everything";
  const name = typeName(typeOf(id));
  const lower = /^[A-Z][a-z]/.test(name) ? name.charAt(0).toLowerCase() + name.slice(1) : name;
  return lower === "subscription" ? "the subscription" : `${lower} ${lastOf(id)}`;
}

export const sameId = (a, b) => (a ?? "").toLowerCase() === (b ?? "").toLowerCase();

/** within says whether an id is another or below it. */
export function within(id, above) {
  const [a, b] = [(id ?? "").toLowerCase(), above.toLowerCase()];
  return a === b || a.startsWith(b + "/");
}

/** clock is the time of day of a time. */
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

/** left is a time that is left, in seconds and minutes. */
export function left(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const [m, rest] = [Math.floor(seconds / 60), String(seconds % 60).padStart(2, "0")];
  return m < 60 ? `${m}:${rest} min` : `${Math.floor(m / 60)} h ${m % 60} min`;
}

/** ago is how long ago a time was. */
export function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(time)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

/** took is how long a request took. */
export const took = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
