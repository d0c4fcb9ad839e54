package rules

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"gopkg.in/yaml.v3"
)

const (
	class      = "secrets-store.csi.x-k8s.io:SecretProviderClass"
	assignment = "authorization:RoleAssignment"
	credential = "managedidentity:FederatedIdentityCredential"
	identity   = "managedidentity:UserAssignedIdentity"
	driver     = "secrets-store.csi.k8s.io"
)

// withPods are the kinds that contain pods, with the paths of their pod specs.
var withPods = map[string][]string{
	"core:Pod":         {"spec"},
	"apps:Deployment":  {"spec", "template", "spec"},
	"apps:StatefulSet": {"spec", "template", "spec"},
	"apps:DaemonSet":   {"spec", "template", "spec"},
	"apps:ReplicaSet":  {"spec", "template", "spec"},
	"batch:Job":        {"spec", "template", "spec"},
	"batch:CronJob":    {"spec", "jobTemplate", "spec", "template", "spec"},

	"core:ReplicationController": {"spec", "template", "spec"},
	"core:PodTemplate":           {"template", "spec"},
}

var podKinds = []string{
	"core:Pod", "apps:Deployment", "apps:StatefulSet", "apps:DaemonSet", "apps:ReplicaSet", "batch:Job", "batch:CronJob",
	"core:ReplicationController", "core:PodTemplate",
}

var mistakes = []Rule{
	{
		ID: "class-workload-identity", Kinds: []string{class},
		Title: "SecretProviderClasses sign in as the workload",
		Remedy: "Omit useVMManagedIdentity, usePodIdentity, useAzureTokenProxy and userAssignedIdentityID, and set " +
			"clientID",
		alone: ofAzure(func(parameters property.Map) (problems []string) {
			for _, key := range []string{"useVMManagedIdentity", "usePodIdentity", "useAzureTokenProxy"} {
				problems = append(problems, oneOf("false", "").unless(parameters, key)...)
			}
			return append(problems, oneOf("").unless(parameters, "userAssignedIdentityID")...)
		}),
	},
	{
		ID: "class-parameters", Kinds: []string{class},
		Title:  "SecretProviderClasses name the vault and the identity",
		Remedy: "Set clientID, which the provider reads from nowhere else, keyvaultName and tenantID",
		alone: ofAzure(func(parameters property.Map) (problems []string) {
			for _, key := range []string{"clientID", "keyvaultName"} {
				problems = append(problems, given.unless(parameters, key)...)
			}
			if v, known := get(parameters, "tenantId"); known && !given.met(v) { // deprecated, and read all the same
				problems = append(problems, given.unless(parameters, "tenantID")...)
			}
			return problems
		}),
	},
	{
		ID: "class-objects", Kinds: []string{class},
		Title: "SecretProviderClasses mount valid objects, each in its own file",
		Remedy: "Set objects to YAML with a list array, whose items are YAML strings with objectName, objectType (secret, " +
			"key or cert) and an objectAlias that is a clean relative path: the provider ignores or misreads everything else",
		alone: ofAzure(wrongObjects),
	},
	{
		ID: "role-too-wide", Kinds: []string{assignment},
		Title: "Workloads have no role beyond what mounting requires",
		Remedy: "Assign Key Vault Secrets User (secrets), Key Vault Reader (public keys and certificates) or Key Vault " +
			"Crypto User (use of keys), on the mounted objects",
		among: func(one Resource, stack Stack) []string {
			v, _ := get(one.Properties, "roleDefinitionId")
			id, _ := asText(v)
			role, wide := wideRoles[strings.ToLower(path.Base(id))]
			if who := stack.workload(one); wide && who != "" {
				return say("%s has the role %s", who, role)
			}
			return nil
		},
	},
	{
		ID: "role-scope", When: Production, Kinds: []string{assignment},
		Title:  "Workloads may read only what they mount",
		Remedy: "Assign the role on the object, VAULT_ID/secrets/NAME, not on the vault or a wider scope",
		among: func(one Resource, stack Stack) []string {
			v, _ := get(one.Properties, "roleDefinitionId")
			id, _ := asText(v)
			role, ours := objectRoles[strings.ToLower(path.Base(id))]
			v, _ = get(one.Properties, "scope")
			scope, known := asText(v)
			who := stack.workload(one)
			if !ours || !known || who == "" || vaultObject.MatchString(scope) {
				return nil
			}
			return say("%s has the role %s on %s", who, role, scope)
		},
	},
	{
		ID: "role-principal-type", Kinds: []string{assignment},
		Title: "Role assignments name the type of new principals",
		Remedy: "Set principalType to ServicePrincipal: by default Azure looks the principal up, and may not find a new " +
			"one (PrincipalNotFound)",
		among: func(one Resource, stack Stack) []string {
			if stack.principal(one) == nil {
				return nil
			}
			return oneOf("ServicePrincipal").unless(one.Properties, "principalType")
		},
	},
	{
		ID: "credential-audience", Kinds: []string{credential},
		Title: "Federated credentials have the one valid audience",
		Remedy: "Set audiences to api://AzureADTokenExchange only: the provider of the CSI driver accepts no other in any " +
			"cloud",
		alone: func(one Resource) []string {
			audiences, known := list(one.Properties, "audiences")
			if !known {
				return nil
			}
			allowed := []string{"api://AzureADTokenExchange"}
			subject, _ := get(one.Properties, "subject")
			if text, ok := asText(subject); ok && !strings.HasPrefix(text, serviceAccount) {
				allowed = append(allowed, "api://AzureADTokenExchangeUSGov", "api://AzureADTokenExchangeChina")
			}
			if len(audiences) != 1 {
				return say("audiences has %d items, not 1", len(audiences))
			}
			if text, ok := asText(audiences[0]); !ok || !slices.Contains(allowed, text) { // as they are written
				return say("audiences has %s", shown(audiences[0]))
			}
			return nil
		},
	},
	{
		ID: "credential-issuer", Kinds: []string{credential},
		Title:  "Federated credentials trust the cluster's issuer",
		Remedy: "Set issuer to the cluster's oidcIssuerProfile.issuerURL unchanged, with the trailing slash",
		among: func(one Resource, stack Stack) []string {
			v, known := get(one.Properties, "issuer")
			if !known {
				return nil
			}
			issuer, ok := asText(v)
			if !ok || !strings.HasPrefix(issuer, "https://") || strings.ContainsAny(issuer, " \t\n?#") {
				return say("issuer is %s, not an https URL", shown(v))
			}
			subject, _ := get(one.Properties, "subject")
			if text, ok := asText(subject); !ok || !strings.HasPrefix(text, serviceAccount) {
				return nil
			}
			var issuers []string
			for _, c := range stack.of(cluster) {
				url, _ := get(c.Outputs, "oidcIssuerProfile.issuerURL")
				text, ok := asText(url)
				if !ok {
					return nil // may be this one
				}
				issuers = append(issuers, text)
			}
			if len(issuers) == 0 || slices.Contains(issuers, issuer) {
				return nil
			}
			for _, other := range issuers {
				if strings.EqualFold(strings.TrimRight(issuer, "/"), strings.TrimRight(other, "/")) {
					return say("issuer is %q, but the cluster's is %q", issuer, other)
				}
			}
			return say("issuer is %q, which is not the issuer of a cluster in the stack", issuer)
		},
	},
	{
		ID: "credential-subject", Kinds: []string{credential},
		Title: "Federated credentials name their subject",
		Remedy: "Set subject to system:serviceaccount:NAMESPACE:NAME, or to another issuer's subject: Entra ID compares " +
			"it exactly, without wildcards",
		alone: func(one Resource) []string {
			v, known := get(one.Properties, "subject")
			if !known {
				return nil
			}
			subject, _ := asText(v)
			rest, account := strings.CutPrefix(subject, "system:serviceaccount")
			switch {
			case strings.TrimSpace(subject) != subject || subject == "" || strings.ContainsAny(subject, "*?"):
				return say("subject is %s", shown(v))
			case account && !subjectOfAccount.MatchString(rest):
				return say("subject is %s, which no service account has", shown(v))
			}
			return nil
		},
	},
	{
		ID: "credential-order", Kinds: []string{identity},
		Title:  "An identity has at most 20 federated credentials, written one after another",
		Remedy: "Make each depend on the previous one (dependsOn): Azure refuses concurrent writes with 409, and the 21st",
		among: func(one Resource, stack Stack) []string {
			var credentials []Resource
			for _, c := range stack.of(credential) {
				_, known := get(c.Properties, "resourceName")
				if (known || stack.comesFrom(c, "resourceName", one)) && stack.isAbout(c, "resourceName", one, "resourceName") {
					credentials = append(credentials, c)
				}
			}
			if len(credentials) > 20 {
				return say("%s has %d federated credentials", one.Name, len(credentials))
			}
			for i, a := range credentials {
				for _, b := range credentials[:i] {
					if !stack.waitsFor(a, b) && !stack.waitsFor(b, a) {
						return say("%s and %s are written concurrently", b.Name, a.Name)
					}
				}
			}
			return nil
		},
	},
	{
		ID: "secret-in-plain", Kinds: []string{vaultSecret},
		Title: "Secret values are encrypted in the state",
		Remedy: "Wrap properties.value with pulumi.ToSecret, or set the configuration with --secret; a value that was " +
			"plain remains in the state's history",
		alone: inPlain("properties.value"),
	},
	{
		ID: "config-map-in-plain", Kinds: []string{"core:ConfigMap"},
		Title: "ConfigMaps hold no secrets",
		Remedy: "Mount the secret from the vault, or use a Kubernetes Secret: most users of a namespace may read its " +
			"ConfigMaps",
		alone: func(one Resource) []string {
			v, _ := get(one.Properties, "data")
			if v.HasSecrets() {
				return say("data contains a secret")
			}
			if !v.IsMap() {
				return nil
			}
			for name, value := range v.AsMap().AllStable {
				if plain(value) && namedSecret(name) {
					return say("data has %s", name)
				}
			}
			return nil
		},
	},
	{
		ID: "kubeconfig-in-plain", Kinds: []string{"providers:kubernetes"},
		Title:  "Kubeconfigs are encrypted in the state",
		Remedy: "Wrap kubeconfig: the result of listManagedClusterUserCredentials is not marked as secret",
		alone:  inPlain("kubeconfig"),
	},
	{
		ID: "variable-in-plain", Kinds: podKinds,
		Title: "Variables and arguments of containers hold no secrets",
		Remedy: "Mount the secret, or use a Kubernetes Secret (valueFrom.secretKeyRef): everybody who sees the pod sees " +
			"its variables and arguments",
		alone: ofPods(plainVariables),
	},
	{
		ID: "mount-sign-in", Kinds: podKinds,
		Title: "Mounts sign in as the workload and are read-only",
		Remedy: "Set the volume's csi.readOnly to true and omit csi.nodePublishSecretRef, which is for a service " +
			"principal's password",
		alone: ofPods(func(spec property.Map) (problems []string) {
			volumes, _ := maps(spec, "volumes")
			for i, volume := range volumes {
				if name, _ := get(volume, "csi.driver"); !oneOf(driver).met(name) {
					continue
				}
				found := slices.Concat(yes.unless(volume, "csi.readOnly"), oneOf("").unless(volume, "csi.nodePublishSecretRef"))
				for _, problem := range found {
					problems = append(problems, fmt.Sprintf("volumes[%d].%s", i, problem))
				}
			}
			return problems
		}),
	},
	{
		ID: "mount-sub-path", Kinds: podKinds,
		Title:  "Mounts see rotations",
		Remedy: "Mount the whole volume: a subPath keeps the contents from the container's start",
		alone:  ofPods(subPaths),
	},
	{
		ID: "vault-purge-protection-false", Kinds: []string{vault},
		Title:  "Purge protection is on or omitted",
		Remedy: "Omit properties.enablePurgeProtection: Azure refuses false",
		alone:  needs("properties.enablePurgeProtection", not(false)),
	},
}

const serviceAccount = "system:serviceaccount:"

var (
	subjectOfAccount = regexp.MustCompile(`^:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	vaultObject      = regexp.MustCompile(`(?i)/vaults/[^/]+/(secrets|keys|certificates)/[^/]+$`)
)

// wideRoles are built-in roles that allow changing the contents of a vault, or granting permissions to others:
// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var wideRoles = map[string]string{
	"00482a5a-887f-4fb3-b363-3b7fe8e74483": "Key Vault Administrator",
	"b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
	"14b46e9e-c2b7-41b4-b07b-48a6ebf60603": "Key Vault Crypto Officer",
	"a4417e6f-fecd-4de8-b567-7b0420556985": "Key Vault Certificates Officer",
	"8b54135c-b56d-4d72-a534-26097cfdc8d8": "Key Vault Data Access Administrator",
	"f25e0fa2-a7c8-4377-a976-54943a77a395": "Key Vault Contributor",
	"8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
	"b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
	"18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
	"f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
}

// objectRoles are the roles for mounted objects.
var objectRoles = map[string]string{
	"4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
	"21090545-7ca7-4776-b22c-e363652d74d2": "Key Vault Reader",
	"db79e9a7-68ee-4b58-9aeb-b90e7c24fcba": "Key Vault Certificate User",
	"12338af0-0e69-4776-bea7-57ae8d297424": "Key Vault Crypto User",
}

// principal returns the stack's identity or cluster that has a role, or nil.
func (s Stack) principal(one Resource) *Resource {
	for _, who := range s.of(identity, cluster) {
		v, known := get(one.Properties, "principalId")
		is, _ := get(who.Outputs, "principalId")
		if s.comesFrom(one, "principalId", who) || known && given.met(v) && v.Equals(is) {
			return &who
		}
	}
	return nil
}

// workload returns a description of a role's principal if pods can use it: an identity with federated credentials of
// service accounts, or the nodes' own. It is empty for others.
func (s Stack) workload(one Resource) string {
	who := s.principal(one)
	switch {
	case who == nil:
		return ""
	case Kind(who.Type) == cluster:
		return "the nodes' identity of " + who.Name
	}
	for _, c := range s.of(credential) {
		v, known := get(c.Properties, "subject")
		subject, _ := asText(v)
		if (!known || strings.HasPrefix(subject, serviceAccount)) && s.isAbout(c, "resourceName", *who, "resourceName") {
			return "the workload's identity " + who.Name
		}
	}
	return ""
}

// waitsFor reports whether the engine writes a resource after another one.
func (s Stack) waitsFor(one, other Resource) bool {
	seen := map[string]bool{}
	var look func(urn string) bool
	look = func(urn string) bool {
		i := slices.IndexFunc(s.Resources, func(r Resource) bool { return r.URN == urn })
		if i < 0 || seen[urn] {
			return false
		}
		seen[urn] = true
		return slices.ContainsFunc(s.Resources[i].Dependencies, func(d string) bool { return d == other.URN || look(d) })
	}
	return look(one.URN)
}

// inPlain returns a rule about values that exist and are not secret.
func inPlain(path string) func(Resource) []string {
	return func(one Resource) []string {
		v, known := get(one.Properties, path)
		if !known || v.Secret() || !plain(v) {
			return nil
		}
		return say("%s is not a secret", path)
	}
}

// plain reports whether a value contains a text that is not secret.
func plain(v property.Value) bool {
	switch {
	case v.Secret():
		return false
	case v.IsString():
		return v.AsString() != ""
	case v.IsMap():
		for _, item := range v.AsMap().All {
			if plain(item) {
				return true
			}
		}
	}
	return false
}

// ofAzure returns a rule about the parameters of classes of the Azure provider.
func ofAzure(rule func(property.Map) []string) func(Resource) []string {
	return func(one Resource) (problems []string) {
		provider, known := get(one.Properties, "spec.provider")
		if !known || !oneOf("azure").met(provider) {
			return nil
		}
		v, known := get(one.Properties, "spec.parameters")
		if !known {
			return nil
		}
		for _, problem := range rule(inside(v)) {
			problems = append(problems, "spec.parameters."+problem)
		}
		return problems
	}
}

// wrongObjects returns the objects that the provider would misread or ignore.
func wrongObjects(parameters property.Map) (problems []string) {
	v, known := get(parameters, "objects")
	text, ok := asText(v)
	if !known {
		return nil
	}
	var objects struct {
		Array []any `yaml:"array"`
	}
	if err := yaml.Unmarshal([]byte(text), &objects); !ok || err != nil || len(objects.Array) == 0 {
		return []string{"objects has no list array"}
	}
	files := map[string]int{}
	for i, item := range objects.Array {
		wrong := func(format string, args ...any) {
			if v.Secret() {
				format, args = "is not valid for the provider (not shown)", nil
			}
			problems = append(problems, fmt.Sprintf("objects.array[%d] ", i)+fmt.Sprintf(format, args...))
		}
		text, ok := item.(string)
		var o struct {
			Name  string `yaml:"objectName"`
			Type  string `yaml:"objectType"`
			Alias string `yaml:"objectAlias"`
		}
		if err := yaml.Unmarshal([]byte(text), &o); !ok || err != nil {
			wrong("is not a YAML string")
			continue
		}
		if o.Name == "" {
			wrong("has no objectName")
		}
		if !slices.Contains([]string{"secret", "key", "cert"}, o.Type) {
			wrong("has the objectType %q", o.Type)
		}
		file := o.Alias
		if file == "" {
			file = o.Name
		}
		outside := path.IsAbs(file) || path.Clean(file) != file || file == ".." || strings.HasPrefix(file, "../")
		if file != "" && outside {
			wrong("has the invalid file %q", file)
		}
		if other, taken := files[file]; taken && file != "" {
			wrong("has the same file %q as array[%d]", file, other)
		}
		files[file] = i
	}
	return problems
}

// ofPods returns a rule about pod specs.
func ofPods(rule func(property.Map) []string) func(Resource) []string {
	return func(one Resource) (problems []string) {
		at := withPods[Kind(one.Type)]
		v, _ := getKeys(one.Properties, at...)
		if !v.IsMap() {
			return nil
		}
		for _, problem := range rule(inside(v)) {
			problems = append(problems, strings.Join(at, ".")+"."+problem)
		}
		return problems
	}
}

// containers returns a pod's containers with their paths.
func containers(spec property.Map) (found []property.Map, at []string) {
	for _, key := range []string{"initContainers", "containers"} {
		all, _ := maps(spec, key)
		for i, container := range all {
			found, at = append(found, container), append(at, fmt.Sprintf("%s[%d]", key, i))
		}
	}
	return found, at
}

// aSecret matches the names of variables with secrets. aboutOne matches those that only describe one, such as where it
// is or when it expires.
var (
	aSecret = regexp.MustCompile(`(?i)(^|[^a-z0-9]|^pg)(password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|` +
		`private[-_]?key|connection[-_]?string|credentials?)([^a-z0-9]|$)`)
	aboutOne = regexp.MustCompile(`(?i)[^a-z0-9](file|path|dir|name|id|url|uri|endpoint|ttl|expiry|version|header)$`)
)

// hump matches where a word begins in a name such as dbPassword.
var hump = regexp.MustCompile(`([a-z0-9])([A-Z])`)

func namedSecret(name string) bool {
	name = hump.ReplaceAllString(name, "${1}_$2")
	return aSecret.MatchString(name) && !aboutOne.MatchString(name)
}

// plainVariables finds secrets by their mark, which the Kubernetes provider puts on the whole list of containers, and
// by the names of variables.
func plainVariables(spec property.Map) (problems []string) {
	for _, key := range []string{"initContainers", "containers"} {
		if spec.Get(key).HasSecrets() {
			problems = append(problems, key+" contains a secret")
		}
	}
	if len(problems) > 0 {
		return problems
	}
	all, at := containers(spec)
	for i, container := range all {
		variables, _ := maps(container, "env")
		for _, variable := range variables {
			name, _ := asText(variable.Get("name"))
			if plain(variable.Get("value")) && namedSecret(name) {
				problems = append(problems, fmt.Sprintf("%s.env has %s", at[i], name))
			}
		}
	}
	return problems
}

func subPaths(spec property.Map) (problems []string) {
	mounted := map[string]bool{}
	volumes, _ := maps(spec, "volumes")
	for _, volume := range volumes {
		name, _ := asText(volume.Get("name"))
		if by, _ := get(volume, "csi.driver"); oneOf(driver).met(by) {
			mounted[name] = true
		}
	}
	all, at := containers(spec)
	for i, container := range all {
		mounts, _ := maps(container, "volumeMounts")
		for j, mount := range mounts {
			name, _ := asText(mount.Get("name"))
			if mounted[name] && (given.met(mount.Get("subPath")) || given.met(mount.Get("subPathExpr"))) {
				problems = append(problems, fmt.Sprintf("%s.volumeMounts[%d] has a subPath", at[i], j))
			}
		}
	}
	return problems
}
