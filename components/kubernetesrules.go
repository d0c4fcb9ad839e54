package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
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
	v.match(dnsLabel, path, given, "1-63 lower-case letters, digits and dashes, a letter or digit first and last")
}

func (v *violations) dnsSubdomain(path, given string) {
	v.check(len(given) <= 253 && dnsSubdomain.MatchString(given), path, given,
		"1-253 lower-case letters, digits, dashes and dots, a letter or digit first and last")
}

// image is the grammar of references to images, [registry/]name[:tag][@digest], as github.com/distribution/reference
// documents it and containerd reads it. A name of 64 hexadecimal digits would be an id.
var (
	image = regexp.MustCompile(`^((?:` +
		`(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?` +
		`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)` +
		`(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}))?$`)
	imageID = regexp.MustCompile(`^[a-f0-9]{64}$`)
)

const maxImageName = 255

// image checks an image that is given.
func (v *violations) image(path, given string) {
	if given == "" {
		return
	}
	match := image.FindStringSubmatch(given)
	v.check(match != nil && len(match[1]) <= maxImageName && !imageID.MatchString(given), path, given,
		"an image, such as registry.example/team/busybox:1.35.0, with a name of at most 255 characters in lower case, "+
			"an optional tag and an optional digest")
}

// labelPart is a label's value, or its key after the prefix; annotations have the same keys:
// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
var labelPart = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z._-]{0,61}[0-9A-Za-z])?$`)

// maxAnnotations is the limit of Kubernetes for all annotations of an object, in bytes.
const maxAnnotations = 256 << 10

func validLabelKey(key string) bool {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		return labelPart.MatchString(key)
	}
	return labelPart.MatchString(name) && len(prefix) <= 253 && dnsSubdomain.MatchString(prefix)
}

// validateLabels checks labels; the keys in own are set already.
func (v *violations) validateLabels(at string, labels map[string]string, own ...string) {
	v.validateKeys(at, labels, own)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		v.check(labels[key] == "" || labelPart.MatchString(labels[key]), at+"."+key, labels[key],
			"nothing, or 1-63 letters, digits, dashes, underscores and dots, a letter or digit first and last")
	}
}

// validateAnnotations checks annotations; the keys in own are set already.
func (v *violations) validateAnnotations(at string, annotations map[string]string, own ...string) {
	v.validateKeys(at, annotations, own)
	size := 0
	for key, value := range annotations {
		size += len(key) + len(value)
	}
	v.check(size <= maxAnnotations, at, fmt.Sprintf("%d bytes", size), "256 KiB in all")
}

func (v *violations) validateKeys(at string, metadata map[string]string, own []string) {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		v.check(validLabelKey(key), at, key,
			"keys of 1-63 letters, digits, dashes, underscores and dots, a letter or digit first and "+
				"last, after an optional DNS subdomain and slash")
		v.check(!slices.Contains(own, key), at, key, "keys other than "+strings.Join(own, ", ")+", which is set already")
	}
}

// deletedAtOnce is for objects that nothing but a finalizer of somebody else's keeps once they are deleted. The
// Kubernetes provider would wait ten minutes before it says so, and names the finalizer.
var deletedAtOnce = pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "1m"})
