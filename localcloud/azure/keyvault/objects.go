package keyvault

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Kind is the type of an object.
type Kind string

const (
	Secret      Kind = "secret"
	Key         Kind = "key"
	Certificate Kind = "certificate" // has a secret and a key of its name
)

func (k Kind) plural() string { return string(k) + "s" }
func (k Kind) title() string  { return strings.ToUpper(string(k[:1])) + string(k[1:]) }

// Object is a secret, a key or a certificate with its versions, oldest first.
type Object struct {
	Vault    string // name of the vault
	Kind     Kind
	Name     string
	Versions []Version
	Rotation *RotationPolicy // of a key; nil means none was set
	Deleted  *Deletion

	Policy  *CertificatePolicy `json:",omitempty"` // of a certificate
	Pending *Pending           `json:",omitempty"` // last creation of a certificate
	Managed bool               `json:"-"`          // secret or key of a certificate, which is not stored
}

// Version is a version of an object. Only its attributes and tags change.
type Version struct {
	ID               string // 32 hexadecimal digits
	Attributes       Attributes
	Tags             map[string]string
	ContentType      string       // of a secret, and of a certificate's secret
	Value            string       // as for ContentType
	Key              *KeyMaterial // of a key, and of a certificate's key
	Chain            [][]byte     `json:",omitempty"` // of a certificate: the certificate and its issuers
	Created, Updated int64
}

// Attributes are what callers may set on a version. Times are in seconds since 1970.
type Attributes struct {
	Enabled    *bool  `json:"enabled,omitempty"` // defaults to true
	NotBefore  *int64 `json:"nbf,omitempty"`
	Expires    *int64 `json:"exp,omitempty"`
	Exportable *bool  `json:"exportable,omitempty"` // of a key

	// Sent back by clients, and ignored.
	Created         *int64  `json:"created,omitempty"`
	Updated         *int64  `json:"updated,omitempty"`
	RecoveryLevel   *string `json:"recoveryLevel,omitempty"`
	RecoverableDays *int    `json:"recoverableDays,omitempty"`
}

// namePattern is Key Vault's rule for names of objects.
var namePattern = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

func (v Vault) prefix(kind Kind) string {
	prefix := fold.Lower(v.Name) + "/"
	if kind != "" {
		prefix += kind.plural() + "/"
	}
	return prefix
}

func (o Object) key() string {
	return fold.Lower(o.Vault + "/" + o.Kind.plural() + "/" + o.Name)
}

func newVersion(a Attributes, tags map[string]string) Version {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	now := time.Now().Unix()
	v := Version{ID: hex.EncodeToString(id), Tags: tags, Created: now, Updated: now}
	v.update(a)
	return v
}

// update applies the attributes that are given.
func (v *Version) update(a Attributes) {
	if a.Enabled != nil {
		v.Attributes.Enabled = a.Enabled
	}
	if a.NotBefore != nil {
		v.Attributes.NotBefore = a.NotBefore
	}
	if a.Expires != nil {
		v.Attributes.Expires = a.Expires
	}
	if a.Exportable != nil {
		v.Attributes.Exportable = a.Exportable
	}
	v.Updated = time.Now().Unix()
}

func (v Version) enabled() bool { return v.Attributes.Enabled == nil || *v.Attributes.Enabled }

// Latest returns the newest version. For a certificate without one, it returns the pending version.
func (o Object) Latest() Version {
	if len(o.Versions) == 0 {
		return o.Pending.Version
	}
	return o.Versions[len(o.Versions)-1]
}

// version returns the version with an ID. An empty ID means the latest.
func (o Object) version(id string) (int, bool) {
	if id == "" {
		return len(o.Versions) - 1, len(o.Versions) > 0
	}
	i := slices.IndexFunc(o.Versions, func(v Version) bool { return fold.Equal(v.ID, id) })
	return i, i >= 0
}

// Get returns an object that is not deleted.
func Get(tx *store.Tx, v Vault, kind Kind, name string) (Object, bool, error) {
	o, ok, err := get(tx, v, kind, name)
	return o, ok && o.Deleted == nil, err
}

// get returns an object, deleted or not: a stored one, or the secret or key of a certificate of that name.
func get(tx *store.Tx, v Vault, kind Kind, name string) (Object, bool, error) {
	o, ok, err := store.Get[Object](tx, objects, Object{Vault: v.Name, Kind: kind, Name: name}.key())
	if err != nil || ok || kind == Certificate {
		return o, ok, err
	}
	certificate, ok, err := get(tx, v, Certificate, name)
	if !ok || err != nil {
		return o, false, err
	}
	o, ok = certificate.companion(kind)
	return o, ok, nil
}

// List returns the objects of a kind that are not deleted, sorted by name.
func List(tx *store.Tx, v Vault, kind Kind) ([]Object, error) { return list(tx, v, kind, false) }

func list(tx *store.Tx, v Vault, kind Kind, deleted bool) ([]Object, error) {
	all, err := store.List[Object](tx, objects, v.prefix(kind))
	if err == nil && kind != Certificate {
		var certificates []Object
		certificates, err = store.List[Object](tx, objects, v.prefix(Certificate))
		for _, certificate := range certificates {
			if o, ok := certificate.companion(kind); ok {
				all = append(all, o)
			}
		}
		slices.SortStableFunc(all, func(a, b Object) int { return strings.Compare(a.key(), b.key()) })
	}
	return slices.DeleteFunc(all, func(o Object) bool { return (o.Deleted != nil) != deleted }), err
}

// Named is an object without what is in it.
type Named struct {
	Kind    Kind
	Name    string
	Deleted bool
}

// Names lists the objects of a vault, deleted ones too, but not what certificates bring along.
func Names(tx *store.Tx, v Vault) ([]Named, error) {
	all, err := store.List[struct {
		Kind    Kind
		Name    string
		Deleted *struct{}
	}](tx, objects, v.prefix(""))
	var names []Named
	for _, o := range all {
		names = append(names, Named{o.Kind, o.Name, o.Deleted != nil})
	}
	return names, err
}

func put(tx *store.Tx, o Object) error { return store.Put(tx, objects, o.key(), o) }

// forWriting returns the object of a name, or a new one. It fails with a conflict if the object is deleted, and if it
// belongs to a certificate.
func forWriting(tx *store.Tx, v Vault, kind Kind, name, operation string) (Object, error) {
	fresh := Object{Vault: v.Name, Kind: kind, Name: name}
	if !namePattern.MatchString(name) {
		return fresh, badParameter("The request URI contains an invalid name: %s", printable(name))
	}
	o, ok, err := get(tx, v, kind, name)
	switch {
	case err != nil:
		return fresh, err
	case !ok:
		return fresh, nil
	case o.Deleted != nil:
		return o, isDeleted(kind, name)
	case o.Managed:
		return o, managed(kind, operation)
	}
	return o, nil
}

// SecretValue is the content of a new version of a secret.
type SecretValue struct {
	Value       string
	ContentType string
	Attributes  Attributes
	Tags        map[string]string
}

// Limits of Key Vault (learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates).
const (
	maxSecret      = 25 * 1024 // bytes of a value
	maxContentType = 255
	maxTags        = 15
	maxTag         = 256 // of a tag's name, and of its value
)

// check checks attributes and tags against Key Vault's rules. The times of a secret are informational and do not
// restrict reading it (learn.microsoft.com/azure/key-vault/secrets/about-secrets).
func check(a Attributes, tags map[string]string) error {
	if a.NotBefore != nil && a.Expires != nil && *a.Expires <= *a.NotBefore {
		return badParameter("The attribute exp has to be later than nbf")
	}
	if len(tags) > maxTags {
		return badParameter("There are %d tags, more than %d", len(tags), maxTags)
	}
	for name, value := range tags {
		if len(name) > maxTag || len(value) > maxTag {
			return badParameter("The tag %.40q is longer than %d characters", name, maxTag)
		}
	}
	return nil
}

// SetSecret adds a version to a secret, which it creates if it does not exist.
func SetSecret(tx *store.Tx, v Vault, name string, value SecretValue) (Object, error) {
	o, err := forWriting(tx, v, Secret, name, "set")
	if err != nil {
		return o, err
	}
	if len(value.Value) > maxSecret {
		return o, badParameter("The secret value exceeds the maximum size of %d bytes", maxSecret)
	}
	if len(value.ContentType) > maxContentType {
		return o, badParameter("The content type is longer than %d characters", maxContentType)
	}
	if err := check(value.Attributes, value.Tags); err != nil {
		return o, err
	}
	version := newVersion(value.Attributes, value.Tags)
	version.Value, version.ContentType = value.Value, value.ContentType
	o.Versions = append(o.Versions, version)
	return o, put(tx, o)
}

// Change is a change to a version. Nil fields keep their values.
type Change struct {
	Attributes  Attributes
	Tags        map[string]string
	ContentType *string
	Operations  []string // of a key
}

// UpdateVersion changes a version. An empty ID means the latest.
func UpdateVersion(tx *store.Tx, v Vault, kind Kind, name, id string, change Change) (Object, Version, error) {
	o, ok, err := Get(tx, v, kind, name)
	if err != nil {
		return o, Version{}, err
	}
	if !ok {
		return o, Version{}, notFound(kind, name, id)
	}
	i, ok := o.version(id)
	if !ok {
		return o, Version{}, notFound(kind, name, id)
	}
	if o.Managed {
		return o, Version{}, notImplemented("updating the " + string(kind) + " of a certificate")
	}
	version := &o.Versions[i]
	version.update(change.Attributes)
	if err := check(version.Attributes, change.Tags); err != nil {
		return o, Version{}, err
	}
	if change.Tags != nil {
		version.Tags = change.Tags
	}
	if change.ContentType != nil {
		if len(*change.ContentType) > maxContentType {
			return o, Version{}, badParameter("The content type is longer than %d characters", maxContentType)
		}
		version.ContentType = *change.ContentType
	}
	if change.Operations != nil {
		if err := checkOperations(change.Operations); err != nil {
			return o, Version{}, err
		}
		material := *version.Key
		material.Operations = change.Operations
		version.Key = &material
	}
	return o, *version, put(tx, o)
}

func softDelete(tx *store.Tx, v Vault, kind Kind, name string) (Object, error) {
	o, ok, err := Get(tx, v, kind, name)
	if err != nil {
		return o, err
	}
	if !ok {
		return o, notFound(kind, name, "")
	}
	if o.Managed {
		return o, managed(kind, "delete")
	}
	o.Deleted = v.deletion(time.Now())
	return o, put(tx, o)
}

func getDeleted(tx *store.Tx, v Vault, kind Kind, name string) (Object, error) {
	o, ok, err := get(tx, v, kind, name)
	if err == nil && (!ok || o.Deleted == nil) {
		err = notFound(kind, name, "")
	}
	return o, err
}

func recoverDeleted(tx *store.Tx, v Vault, kind Kind, name string) (Object, error) {
	o, err := getDeleted(tx, v, kind, name)
	if err != nil {
		return o, err
	}
	if o.Managed {
		return o, managed(kind, "recover")
	}
	o.Deleted = nil
	return o, put(tx, o)
}

func purgeDeleted(tx *store.Tx, v Vault, kind Kind, name string) error {
	o, err := getDeleted(tx, v, kind, name)
	if err != nil {
		return err
	}
	if o.Managed {
		return managed(kind, "purge")
	}
	if v.NoPurge {
		return &Error{
			Status: http.StatusForbidden,
			Code:   "Forbidden",
			Message: "Operation \"purge\" is not allowed because " +
				"purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention " +
				"period has passed.",
		}
	}
	return store.Delete(tx, objects, o.key())
}
