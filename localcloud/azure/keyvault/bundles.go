package keyvault

import (
	"crypto/sha1" //nolint:gosec // x5t is a SHA-1 thumbprint by definition
	"encoding/base64"
)

// bundle is a response of the data plane.
type bundle map[string]any

// id returns an object's identifier. Without a version, it is the identifier of the object as a whole.
func (v Vault) id(kind Kind, name, version string) string {
	id := v.URI() + kind.plural() + "/" + name
	if version != "" {
		id += "/" + version
	}
	return id
}

// with adds the properties that every object has.
func (b bundle) with(vault Vault, v Version) bundle {
	attributes := bundle{
		"enabled": v.enabled(), "created": v.Created, "updated": v.Updated,
		"recoveryLevel": vault.recoveryLevel(), "recoverableDays": vault.RetentionDays,
	}
	if v.Attributes.NotBefore != nil {
		attributes["nbf"] = *v.Attributes.NotBefore
	}
	if v.Attributes.Expires != nil {
		attributes["exp"] = *v.Attributes.Expires
	}
	b["attributes"] = attributes
	if v.Tags != nil {
		b["tags"] = v.Tags
	}
	return b
}

func (b bundle) withDeletion(vault Vault, o Object) bundle {
	if o.Deleted != nil {
		b["recoveryId"] = vault.URI() + "deleted" + o.Kind.plural() + "/" + o.Name
		b["deletedDate"], b["scheduledPurgeDate"] = o.Deleted.On.Unix(), o.Deleted.PurgeOn.Unix()
	}
	return b
}

// item describes a version without its value or key, as in lists.
func (v Vault) item(o Object, version Version, id string) bundle {
	name := "id"
	if o.Kind == Key {
		name = "kid"
	}
	b := bundle{name: v.id(o.Kind, o.Name, id)}
	if version.ContentType != "" {
		b["contentType"] = version.ContentType
	}
	if o.Managed {
		b["managed"] = true
		if o.Kind == Secret {
			b["kid"] = v.id(Key, o.Name, version.ID)
		}
	}
	return b.with(v, version).withDeletion(v, o)
}

func (v Vault) secretBundle(o Object, version Version) bundle {
	b := v.item(o, version, version.ID)
	b["value"] = version.Value
	return b
}

func (v Vault) keyBundle(o Object, version Version) (bundle, error) {
	public, err := version.Key.public()
	if err != nil {
		return nil, err
	}
	jwk, err := jsonWebKey(public, version.Key.Type, version.Key.Operations, v.id(Key, o.Name, version.ID))
	if err != nil {
		return nil, err
	}
	b := bundle{"key": jwk}
	if o.Managed {
		b["managed"] = true
	}
	return b.with(v, version).withDeletion(v, o), nil
}

// certificateItem describes a certificate without its content. A certificate whose creation is pending has no
// thumbprint.
func (v Vault) certificateItem(o Object, version Version, id string) bundle {
	b := bundle{"id": v.id(Certificate, o.Name, id)}
	if len(version.Chain) > 0 {
		thumbprint := sha1.Sum(version.Chain[0]) //nolint:gosec // see above
		b["x5t"] = base64.RawURLEncoding.EncodeToString(thumbprint[:])
	}
	return b.with(v, version).withDeletion(v, o)
}

func (v Vault) certificateBundle(o Object, version Version) bundle {
	b := v.certificateItem(o, version, version.ID)
	b["kid"] = v.id(Key, o.Name, version.ID)
	if len(version.Chain) > 0 {
		b["sid"], b["cer"] = v.id(Secret, o.Name, version.ID), base64.StdEncoding.EncodeToString(version.Chain[0])
	}
	b["policy"] = v.policyBundle(o)
	if o.Pending != nil {
		b["pending"] = bundle{"id": v.id(Certificate, o.Name, "pending")}
	}
	return b
}
