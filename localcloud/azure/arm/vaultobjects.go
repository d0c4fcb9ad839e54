package arm

import (
	"net/http"
	"reflect"
	"regexp"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
)

// The control plane of secrets and keys: it makes them, and never shows a secret's value. There is no DELETE.

var vaultObjectName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

const vaultObjectRule = "1 to 127 letters, digits and hyphens"

// vaultOf is the vault that an object is in. That it exists was checked.
func (c *call) vaultOf() (keyvault.Vault, error) {
	vault, ok, err := keyvault.GetVault(c.tx, c.names[0])
	if err == nil && !ok {
		err = c.notFound()
	}
	return vault, err
}

type secretProperties struct {
	Value       *string             `json:"value"`
	ContentType *string             `json:"contentType"`
	Attributes  keyvault.Attributes `json:"attributes"`
}

func tagsOf(body object) map[string]string {
	var tags map[string]string
	for name, value := range child(body, "tags") {
		if tags == nil {
			tags = map[string]string{}
		}
		tags[name], _ = value.(string)
	}
	return tags
}

func (c *call) putSecret() (reply, error) {
	vault, err := c.vaultOf()
	if err != nil {
		return reply{}, err
	}
	var given secretProperties
	if err := decode(child(c.body, "properties"), &given); err != nil {
		return reply{}, err
	}
	if given.Value == nil {
		return reply{}, badRequest("BadRequest", "The property 'value' of a secret is required.")
	}
	value := keyvault.SecretValue{Value: *given.Value, Attributes: given.Attributes, Tags: tagsOf(c.body)}
	if given.ContentType != nil {
		value.ContentType = *given.ContentType
	}
	_, exists, err := keyvault.Get(c.tx, vault, keyvault.Secret, c.name())
	if err != nil {
		return reply{}, err
	}
	secret, err := keyvault.SetSecret(c.tx, vault, c.name(), value)
	if err != nil {
		return reply{}, err
	}
	status := http.StatusCreated
	if exists {
		status = http.StatusOK
	}
	return reply{status: status, body: c.objectBody(vault, secret, secret.Latest())}, nil
}

// patchSecret changes the latest version's attributes, or sets a value like a PUT.
func (c *call) patchSecret() (reply, error) {
	vault, err := c.vaultOf()
	if err != nil {
		return reply{}, err
	}
	var given secretProperties
	if err := decode(child(c.body, "properties"), &given); err != nil {
		return reply{}, err
	}
	if given.Value != nil {
		return c.putSecret()
	}
	secret, version, err := keyvault.UpdateVersion(c.tx, vault, keyvault.Secret, c.name(), "",
		keyvault.Change{Attributes: given.Attributes, Tags: tagsOf(c.body), ContentType: given.ContentType})
	if err != nil {
		return reply{}, err
	}
	return reply{body: c.objectBody(vault, secret, version)}, nil
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

// putKey makes the first version of a key. Of a key that is there it changes nothing: "This operation will not update the key
// if it already exists" (learn.microsoft.com/rest/api/keyvault/keyvault/keys/create-if-not-exist). It answers such a key where
// it is as the request says, and refuses the request otherwise.
func (c *call) putKey() (reply, error) {
	vault, err := c.vaultOf()
	if err != nil {
		return reply{}, err
	}
	key, exists, err := keyvault.Get(c.tx, vault, keyvault.Key, c.name())
	if err != nil {
		return reply{}, err
	}
	var given keyProperties
	if err := decode(child(c.body, "properties"), &given); err != nil {
		return reply{}, err
	}
	if given.ReleasePolicy != nil {
		return reply{}, notImplemented("release policies of keys")
	}
	spec := keyvault.KeySpec{
		Type: given.Kty, Size: given.KeySize, Curve: given.CurveName, Operations: given.KeyOps,
		Attributes: given.Attributes, Tags: tagsOf(c.body),
	}
	if exists {
		if !key.Is(spec) || given.RotationPolicy != nil && !reflect.DeepEqual(key.Rotation, given.RotationPolicy) {
			return reply{}, badRequest("KeyCreationParametersDidNotMatchExistingKey", "The parameters in the request do not match the "+
				"existing key '%s'. A key that exists cannot be changed by creating it.", key.Name)
		}
		return reply{body: c.objectBody(vault, key, key.Latest())}, nil
	}
	key, err = keyvault.CreateKey(c.tx, vault, c.name(), spec)
	if err == nil && given.RotationPolicy != nil {
		key, err = keyvault.SetRotationPolicy(c.tx, vault, c.name(), *given.RotationPolicy)
	}
	if err != nil {
		return reply{}, err
	}
	return reply{body: c.objectBody(vault, key, key.Latest())}, nil
}

// objectBody is how Resource Manager shows a version of a secret or key.
func (c *call) objectBody(vault keyvault.Vault, o keyvault.Object, v keyvault.Version) object {
	kind := string(o.Kind) + "s"
	uri := vault.URI() + kind + "/" + o.Name
	attributes := object{"enabled": v.Attributes.Enabled == nil || *v.Attributes.Enabled, "created": v.Created, "updated": v.Updated}
	if v.Attributes.NotBefore != nil {
		attributes["nbf"] = *v.Attributes.NotBefore
	}
	if v.Attributes.Expires != nil {
		attributes["exp"] = *v.Attributes.Expires
	}
	properties := object{"attributes": attributes}
	body := object{
		"id": vault.ID + "/" + kind + "/" + o.Name, "name": o.Name, "type": vaultsType + "/" + kind, "location": vault.Location,
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

func (c *call) getObject(kind keyvault.Kind) (reply, error) {
	vault, err := c.vaultOf()
	if err != nil {
		return reply{}, err
	}
	o, ok, err := keyvault.Get(c.tx, vault, kind, c.names[1])
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{}, c.notFound()
	}
	return reply{body: c.objectBody(vault, o, o.Latest())}, nil
}

func (c *call) listObjects(kind keyvault.Kind) (reply, error) {
	vault, err := c.vaultOf()
	if err != nil {
		return reply{}, err
	}
	all, err := keyvault.List(c.tx, vault, kind)
	var found []object
	for _, o := range all {
		found = append(found, c.objectBody(vault, o, o.Latest()))
	}
	return values(found), err
}

func (c *call) getSecret() (reply, error)   { return c.getObject(keyvault.Secret) }
func (c *call) listSecrets() (reply, error) { return c.listObjects(keyvault.Secret) }
func (c *call) getKey() (reply, error)      { return c.getObject(keyvault.Key) }
func (c *call) listKeys() (reply, error)    { return c.listObjects(keyvault.Key) }

// keyVersions are the versions of a key, as resources.
func (c *call) keyVersions() ([]object, error) {
	vault, err := c.vaultOf()
	if err != nil {
		return nil, err
	}
	key, ok, err := keyvault.Get(c.tx, vault, keyvault.Key, c.names[1])
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.notFound()
	}
	var found []object
	for _, v := range key.Versions {
		body := c.objectBody(vault, key, v)
		body["id"], body["name"], body["type"] = body["id"].(string)+"/versions/"+v.ID, v.ID, vaultsType+"/keys/versions"
		found = append(found, body)
	}
	return found, nil
}

func (c *call) listKeyVersions() (reply, error) {
	found, err := c.keyVersions()
	return values(found), err
}

func (c *call) getKeyVersion() (reply, error) {
	found, err := c.keyVersions()
	if err != nil {
		return reply{}, err
	}
	for _, body := range found {
		if body["name"] == c.name() {
			return reply{body: body}, nil
		}
	}
	return reply{}, c.notFound()
}
