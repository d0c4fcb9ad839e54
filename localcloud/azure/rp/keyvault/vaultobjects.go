package keyvault

import (
	"net/http"
	"reflect"
	"regexp"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// The control plane of secrets and keys. It creates and lists them and never returns the value of a secret. There is no
// DELETE.

var vaultObjectName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

const vaultObjectRule = "1 to 127 letters, digits and hyphens"

// vaultOf returns the vault of an object.
func vaultOf(c *arm.Call) (keyvault.Vault, error) {
	vault, ok, err := keyvault.GetVault(c.Tx, c.Names[0])
	if err == nil && !ok {
		err = c.NotFound()
	}
	return vault, err
}

type secretProperties struct {
	Value       *string             `json:"value"`
	ContentType *string             `json:"contentType"`
	Attributes  keyvault.Attributes `json:"attributes"`
}

func tagsOf(body arm.Object) map[string]string {
	var tags map[string]string
	for name, value := range arm.Child(body, "tags") {
		if tags == nil {
			tags = map[string]string{}
		}
		tags[name], _ = value.(string)
	}
	return tags
}

func putSecret(c *arm.Call) (arm.Reply, error) {
	vault, err := vaultOf(c)
	if err != nil {
		return arm.Reply{}, err
	}
	var given secretProperties
	if err := arm.Decode(arm.Child(c.Body, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if given.Value == nil {
		return arm.Reply{}, arm.BadRequest("BadRequest", "The property 'value' of a secret is required.")
	}
	value := keyvault.SecretValue{Value: *given.Value, Attributes: given.Attributes, Tags: tagsOf(c.Body)}
	if given.ContentType != nil {
		value.ContentType = *given.ContentType
	}
	_, exists, err := keyvault.Get(c.Tx, vault, keyvault.Secret, c.Name())
	if err != nil {
		return arm.Reply{}, err
	}
	secret, err := keyvault.SetSecret(c.Tx, vault, c.Name(), value)
	if err != nil {
		return arm.Reply{}, err
	}
	status := http.StatusCreated
	if exists {
		status = http.StatusOK
	}
	return arm.Reply{Status: status, Body: objectBody(vault, secret, secret.Latest())}, nil
}

// patchSecret changes the attributes of the latest version. With a value, it works like a PUT.
func patchSecret(c *arm.Call) (arm.Reply, error) {
	vault, err := vaultOf(c)
	if err != nil {
		return arm.Reply{}, err
	}
	var given secretProperties
	if err := arm.Decode(arm.Child(c.Body, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if given.Value != nil {
		return putSecret(c)
	}
	secret, version, err := keyvault.UpdateVersion(c.Tx, vault, keyvault.Secret, c.Name(), "",
		keyvault.Change{Attributes: given.Attributes, Tags: tagsOf(c.Body), ContentType: given.ContentType})
	if err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{Body: objectBody(vault, secret, version)}, nil
}

type keyProperties struct {
	Kty        string              `json:"kty"`
	KeySize    int                 `json:"keySize"`
	CurveName  string              `json:"curveName"`
	KeyOps     []string            `json:"keyOps"`
	Attributes keyvault.Attributes `json:"attributes"`

	RotationPolicy *keyvault.RotationPolicy `json:"rotationPolicy"`
	ReleasePolicy  any                      `json:"release_policy"`
}

// putKey creates the first version of a key. It never changes an existing key: "This operation will not update the key
// if it already exists" (learn.microsoft.com/rest/api/keyvault/keyvault/keys/create-if-not-exist). It answers with an
// existing key if that matches the request, and refuses the request otherwise.
func putKey(c *arm.Call) (arm.Reply, error) {
	vault, err := vaultOf(c)
	if err != nil {
		return arm.Reply{}, err
	}
	key, exists, err := keyvault.Get(c.Tx, vault, keyvault.Key, c.Name())
	if err != nil {
		return arm.Reply{}, err
	}
	var given keyProperties
	if err := arm.Decode(arm.Child(c.Body, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if given.ReleasePolicy != nil {
		return arm.Reply{}, arm.NotImplemented("release policies of keys")
	}
	spec := keyvault.KeySpec{
		Type: given.Kty, Size: given.KeySize, Curve: given.CurveName, Operations: given.KeyOps,
		Attributes: given.Attributes, Tags: tagsOf(c.Body),
	}
	if exists {
		sameRotation := given.RotationPolicy == nil || reflect.DeepEqual(key.Rotation, given.RotationPolicy)
		if !key.Is(spec) || !sameRotation {
			return arm.Reply{}, arm.BadRequest("KeyCreationParametersDidNotMatchExistingKey",
				"The parameters in the request do not match the existing key '%s', which this operation cannot change.",
				key.Name)
		}
		return arm.Reply{Body: objectBody(vault, key, key.Latest())}, nil
	}
	key, err = keyvault.CreateKey(c.Tx, vault, c.Name(), spec)
	if err == nil && given.RotationPolicy != nil {
		key, err = keyvault.SetRotationPolicy(c.Tx, vault, c.Name(), *given.RotationPolicy)
	}
	if err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{Body: objectBody(vault, key, key.Latest())}, nil
}

// objectBody returns a version of a secret or key as a resource.
func objectBody(vault keyvault.Vault, o keyvault.Object, v keyvault.Version) arm.Object {
	kind := string(o.Kind) + "s"
	uri := vault.URI() + kind + "/" + o.Name
	attributes := arm.Object{
		"enabled": v.Attributes.Enabled == nil || *v.Attributes.Enabled,
		"created": v.Created,
		"updated": v.Updated,
	}
	if v.Attributes.NotBefore != nil {
		attributes["nbf"] = *v.Attributes.NotBefore
	}
	if v.Attributes.Expires != nil {
		attributes["exp"] = *v.Attributes.Expires
	}
	properties := arm.Object{"attributes": attributes}
	body := arm.Object{
		"id":         vault.ID + "/" + kind + "/" + o.Name,
		"name":       o.Name,
		"type":       VaultsType + "/" + kind,
		"location":   vault.Location,
		"properties": properties,
	}
	if v.Tags != nil {
		body["tags"] = v.Tags
	}
	if v.Key == nil {
		properties["secretUri"], properties["secretUriWithVersion"] = uri, uri+"/"+v.ID
		if v.ContentType != "" {
			properties["contentType"] = v.ContentType
		}
		return body
	}
	properties["keyUri"], properties["keyUriWithVersion"] = uri, uri+"/"+v.ID
	properties["kty"], properties["keyOps"] = v.Key.Type, v.Key.Operations
	if v.Key.Size != 0 {
		properties["keySize"] = v.Key.Size
	}
	if v.Key.Curve != "" {
		properties["curveName"] = v.Key.Curve
	}
	if o.Rotation != nil {
		properties["rotationPolicy"] = o.Rotation
	}
	return body
}

func getObject(c *arm.Call, kind keyvault.Kind) (arm.Reply, error) {
	vault, err := vaultOf(c)
	if err != nil {
		return arm.Reply{}, err
	}
	o, ok, err := keyvault.Get(c.Tx, vault, kind, c.Names[1])
	if err != nil {
		return arm.Reply{}, err
	}
	if !ok {
		return arm.Reply{}, c.NotFound()
	}
	return arm.Reply{Body: objectBody(vault, o, o.Latest())}, nil
}

func listObjects(c *arm.Call, kind keyvault.Kind) (arm.Reply, error) {
	vault, err := vaultOf(c)
	if err != nil {
		return arm.Reply{}, err
	}
	all, err := keyvault.List(c.Tx, vault, kind)
	var found []arm.Object
	for _, o := range all {
		found = append(found, objectBody(vault, o, o.Latest()))
	}
	return arm.Values(found), err
}

func getSecret(c *arm.Call) (arm.Reply, error)   { return getObject(c, keyvault.Secret) }
func listSecrets(c *arm.Call) (arm.Reply, error) { return listObjects(c, keyvault.Secret) }
func getKey(c *arm.Call) (arm.Reply, error)      { return getObject(c, keyvault.Key) }
func listKeys(c *arm.Call) (arm.Reply, error)    { return listObjects(c, keyvault.Key) }

// keyVersions returns the versions of a key as resources.
func keyVersions(c *arm.Call) ([]arm.Object, error) {
	vault, err := vaultOf(c)
	if err != nil {
		return nil, err
	}
	key, ok, err := keyvault.Get(c.Tx, vault, keyvault.Key, c.Names[1])
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.NotFound()
	}
	var found []arm.Object
	for _, v := range key.Versions {
		body := objectBody(vault, key, v)
		body["id"] = arm.Text(body, "id") + "/versions/" + v.ID
		body["name"], body["type"] = v.ID, VaultsType+"/keys/versions"
		found = append(found, body)
	}
	return found, nil
}

func listKeyVersions(c *arm.Call) (arm.Reply, error) {
	found, err := keyVersions(c)
	return arm.Values(found), err
}

func getKeyVersion(c *arm.Call) (arm.Reply, error) {
	found, err := keyVersions(c)
	if err != nil {
		return arm.Reply{}, err
	}
	for _, body := range found {
		if body["name"] == c.Name() {
			return arm.Reply{Body: body}, nil
		}
	}
	return arm.Reply{}, c.NotFound()
}
