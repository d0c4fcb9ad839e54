package components

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// SyncSecretArgs is a Kubernetes Secret that the CSI driver fills from mounted files:
// https://secrets-store-csi-driver.sigs.k8s.io/topics/sync-as-kubernetes-secret
//
// It is a copy of the secrets in etcd, readable by everybody who may read Secrets in the namespace. It exists only
// while a pod mounts the class: the driver creates it when the first pod mounts, and updates it when files rotate and
// when another pod mounts. Kubernetes deletes it with the last pod, or with the last ReplicaSet, StatefulSet or Job of
// such pods. A [ProbeArgs] keeps it for consumers that mount nothing.
type SyncSecretArgs struct {
	// Name of the Secret, a DNS subdomain, unique in the mount and in the namespace. Nothing checks the latter: the driver
	// overwrites an existing Secret of the same name, and Kubernetes deletes it with the last pod. Required.
	Name string `pulumi:"name"`
	// Type of the Secret. Kubernetes requires certain keys for kubernetes.io/tls (tls.crt and tls.key; the driver allows
	// no others), kubernetes.io/dockerconfigjson (.dockerconfigjson), kubernetes.io/dockercfg (.dockercfg),
	// kubernetes.io/ssh-auth (ssh-privatekey) and kubernetes.io/basic-auth (username or password).
	// kubernetes.io/service-account-token is not allowed. Other types are free. Kubernetes never changes the type of an
	// existing Secret. Defaults to Opaque.
	Type string `pulumi:"type,optional"`
	// Labels of the Secret; the driver adds secrets-store.csi.k8s.io/managed. Defaults to none.
	Labels map[string]string `pulumi:"labels,optional"`
	// Annotations of the Secret. Defaults to none.
	Annotations map[string]string `pulumi:"annotations,optional"`
	// Data of the Secret, at least one key.
	Data []SyncDataArgs `pulumi:"data"`
}

// SyncDataArgs is one key of a Secret.
type SyncDataArgs struct {
	// Key in the Secret, 1-253 letters, digits, dashes, underscores and dots. For a Secret of type kubernetes.io/tls, the
	// driver takes only the certificates from the file for tls.crt, and only the private key for tls.key. Required.
	Key string `pulumi:"key"`
	// File is the path of a mounted file relative to the mount: the object's alias or name, for a version history followed
	// by a slash and any index up to VersionHistory, see [ObjectArgs.FileName]. The driver fills the Secret only if all
	// its files exist, so an index above 0 delays it until there are as many versions. Required.
	File string `pulumi:"file"`
}

const (
	secretTypeOpaque       = "Opaque"
	secretTypeTLS          = "kubernetes.io/tls"
	secretTypeServiceToken = "kubernetes.io/service-account-token"
)

// keysByType are the keys that Kubernetes requires in a Secret:
// https://kubernetes.io/docs/concepts/configuration/secret/#secret-types
var keysByType = map[string][]string{
	secretTypeTLS:                    {"tls.crt", "tls.key"},
	"kubernetes.io/dockerconfigjson": {".dockerconfigjson"},
	"kubernetes.io/dockercfg":        {".dockercfg"},
	"kubernetes.io/ssh-auth":         {"ssh-privatekey"},
}

// managedLabel is always set by the driver.
const managedLabel = "secrets-store.csi.k8s.io/managed"

var (
	secretType = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._/-]*[a-zA-Z0-9])?$`)
	secretKey  = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,253}$`)
)

// secretObjects returns the Secrets for the class's spec.
func secretObjects(secrets []SyncSecretArgs) pulumi.Array {
	var list pulumi.Array
	for _, s := range secrets {
		var data pulumi.Array
		for _, d := range s.Data {
			data = append(data, pulumi.StringMap{"objectName": pulumi.String(d.File), "key": pulumi.String(d.Key)})
		}
		object := pulumi.Map{
			"secretName": pulumi.String(s.Name),
			"type":       pulumi.String(withDefault(s.Type, secretTypeOpaque)),
			"data":       data,
		}
		if len(s.Labels) > 0 {
			object["labels"] = pulumi.ToStringMap(s.Labels)
		}
		if len(s.Annotations) > 0 {
			object["annotations"] = pulumi.ToStringMap(s.Annotations)
		}
		list = append(list, object)
	}
	return list
}

func (v *violations) validateSyncSecrets(at string, secrets []SyncSecretArgs, objects []ObjectArgs) {
	mounted := map[string]ObjectArgs{}
	for _, o := range objects {
		for _, file := range o.files() {
			mounted[file] = o
		}
	}
	seen := map[string]bool{}
	for i, s := range secrets {
		item := fmt.Sprintf("%s[%d]", at, i)
		v.dnsSubdomain(item+".name", s.Name)
		v.check(!seen[s.Name], item+".name", s.Name, "a name that no other Secret of the mount has")
		seen[s.Name] = true
		if s.Type != "" {
			v.check(secretType.MatchString(s.Type) && s.Type != secretTypeServiceToken, item+".type", s.Type,
				"a Secret's type, such as Opaque, but not "+secretTypeServiceToken)
		}
		v.validateLabels(item+".labels", s.Labels, managedLabel)
		v.validateAnnotations(item+".annotations", s.Annotations)
		v.validateSyncData(item+".data", s, mounted)
	}
}

func (v *violations) validateSyncData(at string, s SyncSecretArgs, mounted map[string]ObjectArgs) {
	keys := map[string]bool{}
	for i, d := range s.Data {
		item := fmt.Sprintf("%s[%d]", at, i)
		v.check(secretKey.MatchString(d.Key) && d.Key != "." && !strings.HasPrefix(d.Key, ".."), item+".key", d.Key,
			"1-253 letters, digits, dashes, underscores and dots, not . and not starting with two dots")
		v.check(!keys[d.Key], item+".key", d.Key, "a key used once in the Secret")
		keys[d.Key] = true
		object, ok := mounted[d.File]
		v.check(ok, item+".file", d.File, "the path of a file of the mount")
		if ok && s.Type == secretTypeTLS {
			v.validateTLS(item, d, object)
		}
	}
	v.check(len(s.Data) > 0, at, "nothing", "at least one key")
	if len(s.Data) == 0 {
		return
	}
	for _, key := range keysByType[s.Type] {
		v.check(keys[key], at, fmt.Sprintf("no key %s", key),
			"the keys that "+s.Type+" needs: "+strings.Join(keysByType[s.Type], ", "))
	}
	v.check(s.Type != "kubernetes.io/basic-auth" || keys["username"] || keys["password"], at, "neither key",
		"username or password")
}

// validateTLS checks that the driver will find a certificate or a private key in a file:
// sigs.k8s.io/secrets-store-csi-driver/pkg/util/secretutil, v1.6.0.
func (v *violations) validateTLS(at string, d SyncDataArgs, o ObjectArgs) {
	switch d.Key {
	case "tls.crt":
		v.check(o.Type != ObjectKey, at+".file", d.File, "a file of a cert, or of a certificate's secret")
	case "tls.key":
		v.check(o.Type == ObjectSecret, at+".file", d.File,
			"a file of a certificate's secret, because only that contains the private key")
	default:
		v.add(at+".key", d.Key, "tls.crt, tls.key")
	}
	v.check(o.Format != FormatPFX || o.Encoding == EncodingBase64, at+".file", d.File,
		"a file in PEM, or one whose format is pfx and whose encoding is base64")
}
