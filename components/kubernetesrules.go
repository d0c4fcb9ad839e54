package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Kubernetes' rules for names:
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
var (
	dnsLabel     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	dnsSubdomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

func (v *violations) dnsLabel(path, given string) {
	v.match(dnsLabel, path, given, "1-63 lower-case letters, digits and dashes, starting and ending with a letter or "+
		"digit")
}

func (v *violations) dnsSubdomain(path, given string) {
	v.check(len(given) <= 253 && dnsSubdomain.MatchString(given), path, given,
		"1-253 lower-case letters, digits, dashes and dots, starting and ending with a letter or digit")
}

// image is the grammar of image references, [registry/]name[:tag][@digest], as github.com/distribution/reference
// documents it and containerd parses it. A name of 64 hexadecimal digits would be an id.
var (
	image = regexp.MustCompile(`^((?:` +
		`(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?` +
		`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)` +
		`(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}))?$`)
	imageID = regexp.MustCompile(`^[a-f0-9]{64}$`)
)

const maxImageName = 255

// image checks an image unless it is omitted.
func (v *violations) image(path, given string) {
	if given == "" {
		return
	}
	match := image.FindStringSubmatch(given)
	v.check(match != nil && len(match[1]) <= maxImageName && !imageID.MatchString(given), path, given,
		"an image, such as registry.example/team/busybox:1.35.0, with a name of at most 255 characters in lower case, "+
			"an optional tag and an optional digest")
}

// labelPart matches a label's value, or its key after the prefix. Annotations have the same keys:
// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
var labelPart = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z._-]{0,61}[0-9A-Za-z])?$`)

// maxAnnotations is Kubernetes' limit for all annotations of an object, in bytes.
const maxAnnotations = 256 << 10

func validLabelKey(key string) bool {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		return labelPart.MatchString(key)
	}
	return labelPart.MatchString(name) && len(prefix) <= 253 && dnsSubdomain.MatchString(prefix)
}

// validateLabels checks labels. The keys in own are already in use.
func (v *violations) validateLabels(at string, labels map[string]string, own ...string) {
	v.validateKeys(at, labels, own)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		v.check(labels[key] == "" || labelPart.MatchString(labels[key]), at+"."+key, labels[key],
			"nothing, or 1-63 letters, digits, dashes, underscores and dots, starting and ending with a letter or digit")
	}
}

// validateAnnotations checks annotations. The keys in own are already in use.
func (v *violations) validateAnnotations(at string, annotations map[string]string, own ...string) {
	v.validateKeys(at, annotations, own)
	size := 0
	for key, value := range annotations {
		size += len(key) + len(value)
	}
	if size > maxAnnotations {
		v.state(at, fmt.Sprintf("%d bytes", size), "256 KiB in all")
	}
}

func (v *violations) validateKeys(at string, metadata map[string]string, own []string) {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		v.check(validLabelKey(key), at, key,
			"keys of 1-63 letters, digits, dashes, underscores and dots, starting and ending with a letter or digit, after an "+
				"optional DNS subdomain and slash")
		v.check(!slices.Contains(own, key), at, key, "keys other than "+
			strings.Join(own, ", ")+", which are set already")
	}
}

// reservedNamespace matches namespaces that Kubernetes or AKS create, and nobody else should
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces and, for AKS,
// https://learn.microsoft.com/azure/aks/managed-namespaces#limitations,
// https://learn.microsoft.com/azure/governance/policy/concepts/policy-for-kubernetes,
// https://learn.microsoft.com/azure/aks/access-private-cluster,
// https://learn.microsoft.com/azure/aks/istio-deploy-addon,
// https://docs.tigera.io/calico/latest/getting-started/kubernetes/managed-public-cloud/aks).
var reservedNamespace = regexp.MustCompile(`^(default|kube-.*|gatekeeper-system|app-routing-system|aks-command|` +
	`aks-istio-(system|ingress|egress)|calico-system|tigera-operator)$`)

// notReservedNamespace checks the name of a namespace that is to be created.
func (v *violations) notReservedNamespace(path, namespace string) {
	v.check(!reservedNamespace.MatchString(namespace), path, namespace,
		"another namespace; Kubernetes or AKS create this one, so list it as existing")
}

// defaultAccount is the service account that Kubernetes creates in every namespace, and creates again if it is deleted:
// https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/
const defaultAccount = "default"

// validateReservedNames checks that the component does not create what Kubernetes or AKS create.
func (v *violations) validateReservedNames(args *WorkloadIdentityArgs) {
	creates := func(namespace string) bool {
		return args.CreateNamespace && !slices.Contains(args.ExistingNamespaces, namespace)
	}
	own := false
	for i, account := range args.ServiceAccounts {
		path := fmt.Sprintf("serviceAccounts[%d]", i)
		if account.Namespace == "" {
			own = true
		} else if creates(account.Namespace) {
			v.notReservedNamespace(path+".namespace", account.Namespace)
		}
		v.check(account.Existing || account.Name != defaultAccount, path+".name", account.Name,
			"a name other than default, or existing set to true: Kubernetes creates this account in every namespace")
	}
	if own && creates(args.Namespace) {
		v.notReservedNamespace("namespace", args.Namespace)
	}
}

// namespaceNameLabel is always set by the API server:
// https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name
const namespaceNameLabel = "kubernetes.io/metadata.name"

// podSecurityMode matches the labels of Pod Security on a namespace, for which the API server accepts only certain
// values:
// https://kubernetes.io/docs/concepts/security/pod-security-admission/#pod-security-admission-labels-for-namespaces
var (
	podSecurityMode    = regexp.MustCompile(`^pod-security\.kubernetes\.io/(enforce|audit|warn)(-version)?$`)
	podSecurityVersion = regexp.MustCompile(`^(latest|v1\.(0|[1-9][0-9]*))$`)
)

// validateNamespaceLabels checks the namespace labels that the API server interprets.
func (v *violations) validateNamespaceLabels(at string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		switch mode := podSecurityMode.FindStringSubmatch(key); {
		case mode == nil || key == podSecurityLabel: // the component's own
		case mode[2] != "":
			v.match(podSecurityVersion, at+"."+key, labels[key], "latest, or a version such as v1.34")
		default:
			oneOf(v, at+"."+key, PodSecurity(labels[key]), PodSecurityRestricted, PodSecurityBaseline,
				PodSecurityPrivileged)
		}
	}
}

// expirationAnnotation is read by workload identity's webhook, which rejects pods of an account with an invalid value:
// https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html
const expirationAnnotation = "azure.workload.identity/service-account-token-expiration"

// validateAccountAnnotations checks the service account annotations that workload identity interprets.
func (v *violations) validateAccountAnnotations(at string, annotations map[string]string) {
	text, given := annotations[expirationAnnotation]
	if seconds, err := strconv.Atoi(text); given {
		v.check(err == nil && seconds >= 3600 && seconds <= 86400, at+"."+expirationAnnotation, text,
			"3600-86400 seconds")
	}
}

// deletedAtOnce is for objects whose deletion only somebody else's finalizer can delay. By default, the Kubernetes
// provider would wait ten minutes before it reports the finalizer.
var deletedAtOnce = pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "1m"})
