package keyvault

import (
	"crypto/aes"
	aead "crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// backups is the bucket of the key that encrypts backups.
const backups = "vaultBackups"

// maxBackup is the maximum number of versions of an object in a backup
// (learn.microsoft.com/azure/key-vault/general/backup).
const maxBackup = 500

// geographies has Azure's common geographies with several regions (learn.microsoft.com/azure/reliability/regions-list).
// Any other region is its own geography here.
var geographies = map[string]string{}

func init() {
	for geography, regions := range map[string]string{
		"United States":  "centralus eastus eastus2 northcentralus southcentralus westcentralus westus westus2 westus3",
		"Europe":         "northeurope westeurope",
		"United Kingdom": "uksouth ukwest",
		"France":         "francecentral francesouth",
		"Germany":        "germanywestcentral germanynorth",
		"Switzerland":    "switzerlandnorth switzerlandwest",
		"Norway":         "norwayeast norwaywest",
		"Sweden":         "swedencentral swedensouth",
		"Canada":         "canadacentral canadaeast",
		"Brazil":         "brazilsouth brazilsoutheast",
		"Australia":      "australiaeast australiasoutheast australiacentral australiacentral2",
		"Asia Pacific":   "eastasia southeastasia",
		"Japan":          "japaneast japanwest",
		"India":          "centralindia southindia westindia",
		"Korea":          "koreacentral koreasouth",
		"South Africa":   "southafricanorth southafricawest",
		"UAE":            "uaenorth uaecentral",
	} {
		for region := range strings.FieldsSeq(regions) {
			geographies[region] = geography
		}
	}
}

// backedUp is the content of a backup: an object with all its versions, and where it can be restored.
type backedUp struct {
	Subscription, Geography string
	Object                  Object
}

func (v Vault) subscription() string {
	parts := strings.Split(v.ID, "/") // after "/subscriptions/"
	if len(parts) < 3 {
		return ""
	}
	return strings.ToLower(parts[2])
}

func (v Vault) geography() string {
	if geography, ok := geographies[v.Location]; ok {
		return geography
	}
	return v.Location
}

// sealing returns the cipher for backups of a kind of objects. Its key is generated once per store. Backups of another
// kind cannot be opened with it.
func sealing(tx *store.Tx) (aead.AEAD, error) {
	key, ok, err := store.Get[[]byte](tx, backups, "key")
	if err != nil {
		return nil, err
	}
	if !ok {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		if err := store.Put(tx, backups, "key", key); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return aead.NewGCM(block)
}

// backup returns an object with all its versions as a text that only this Key Vault can read.
func (c *call) backup() (any, error) {
	o, ok, err := Get(c.tx, c.vault, c.kind, c.name)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, notFound(c.kind, c.name, "")
	case o.Managed:
		return nil, notImplemented("a backup of the " + string(c.kind) + " of a certificate: back up the certificate")
	case len(o.Versions) == 0:
		return nil, notImplemented("a backup of a certificate that is not there yet")
	case len(o.Versions) > maxBackup:
		return nil, badParameter("The %s has %d versions, more than the %d that a backup can have", c.kind, len(o.Versions),
			maxBackup)
	}
	content, err := json.Marshal(backedUp{c.vault.subscription(), c.vault.geography(), o})
	if err != nil {
		return nil, fmt.Errorf("writing a backup: %w", err)
	}
	seal, err := sealing(c.tx)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, seal.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return bundle{"value": base64.RawURLEncoding.EncodeToString(seal.Seal(nonce, nonce, content, []byte(c.kind)))}, nil
}

// restore creates an object from a backup, with the same versions, in a vault of the same subscription and geography
// (learn.microsoft.com/azure/key-vault/general/backup). It fails if an object of that name exists, deleted or not.
func (c *call) restore() (any, error) {
	var body struct {
		Value string `json:"value"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	sealed, err := octets("value", body.Value)
	if err != nil {
		return nil, err
	}
	unreadable := badParameter("Cannot decrypt backup blob.")
	seal, err := sealing(c.tx)
	if err != nil {
		return nil, err
	}
	if len(sealed) < seal.NonceSize() {
		return nil, unreadable
	}
	content, err := seal.Open(nil, sealed[:seal.NonceSize()], sealed[seal.NonceSize():], []byte(c.kind))
	if err != nil {
		return nil, unreadable
	}
	var from backedUp
	if err := json.Unmarshal(content, &from); err != nil {
		return nil, fmt.Errorf("reading a backup: %w", err)
	}
	if from.Subscription != c.vault.subscription() || from.Geography != c.vault.geography() {
		return nil, unreadable
	}
	o := from.Object
	o.Vault = c.vault.Name
	for _, kind := range []Kind{Secret, Key, Certificate} {
		if kind != o.Kind && kind != Certificate && o.Kind != Certificate {
			continue // a secret and a key may have the same name
		}
		_, taken, err := get(c.tx, c.vault, kind, o.Name)
		if err != nil {
			return nil, err
		}
		if taken {
			return nil, conflictRestoring(c.kind, c.vault.id(o.Kind, o.Name, o.Latest().ID))
		}
	}
	for _, v := range o.Versions {
		if v.Key != nil && strings.HasSuffix(v.Key.Type, "-HSM") && !c.vault.Premium {
			return nil, badParameter("The key type %s is not supported by the standard SKU of this vault.", v.Key.Type)
		}
	}
	if err := put(c.tx, o); err != nil {
		return nil, err
	}
	return c.deletedBundle(o)
}

func conflictRestoring(kind Kind, id string) *Error {
	return &Error{
		Status: http.StatusConflict,
		Code:   "Conflict",
		Message: fmt.Sprintf("There was a conflict restoring the %s '%s'. This can "+
			"happen if either: a second %[1]s with the same name was created after the first %[1]s was deleted; thus trying "+
			"to restore a %[1]s "+
			"whose name is already in use. To fix this, rename the second %[1]s to something else so that the restore works. "+
			"The second probable "+
			"cause of this exception is when multiple operations are performed in parallel against the %[1]s. To avoid this "+
			"error, perform "+
			"operations against a %[1]s in a sequential manner.", kind, id),
	}
}
