package keyvault

import "strconv"

// find returns the object and version that the request names.
func (c *call) find(kind Kind) (Object, Version, error) {
	o, ok, err := Get(c.tx, c.vault, kind, c.name)
	if err != nil {
		return o, Version{}, err
	}
	if ok {
		if i, ok := o.version(c.version); ok {
			return o, o.Versions[i], nil
		}
	}
	return o, Version{}, notFound(kind, c.name, c.version)
}

func (c *call) getSecret() (any, error) {
	o, v, err := c.find(Secret)
	if err != nil {
		return nil, err
	}
	if !v.enabled() {
		return nil, disabled(Secret, "get")
	}
	return c.vault.secretBundle(o, v), nil
}

func (c *call) setSecret() (any, error) {
	var body struct {
		Value       *string           `json:"value"`
		ContentType string            `json:"contentType"`
		Attributes  Attributes        `json:"attributes"`
		Tags        map[string]string `json:"tags"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Value == nil {
		return nil, badParameter("The parameter value is required")
	}
	o, err := SetSecret(c.tx, c.vault, c.name, SecretValue{
		Value: *body.Value, ContentType: body.ContentType, Attributes: body.Attributes, Tags: body.Tags,
	})
	if err != nil {
		return nil, err
	}
	return c.vault.secretBundle(o, o.Latest()), nil
}

func (c *call) getKey() (any, error) {
	o, v, err := c.find(Key)
	if err != nil {
		return nil, err
	}
	if !v.enabled() {
		return nil, disabled(Key, "get")
	}
	return c.vault.keyBundle(o, v)
}

func (c *call) createKey() (any, error) {
	var body struct {
		Type       string            `json:"kty"`
		Size       int               `json:"key_size"`
		Curve      string            `json:"crv"`
		Operations []string          `json:"key_ops"`
		Attributes Attributes        `json:"attributes"`
		Tags       map[string]string `json:"tags"`
		Exponent   *int              `json:"public_exponent"`
		Release    any               `json:"release_policy"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	switch {
	case body.Release != nil:
		return nil, notImplemented("release policies of keys")
	case body.Exponent != nil && *body.Exponent != 65537:
		return nil, notImplemented("keys with a public exponent of their own")
	}
	o, err := CreateKey(c.tx, c.vault, c.name, KeySpec{
		Type:       body.Type,
		Size:       body.Size,
		Curve:      body.Curve,
		Operations: body.Operations,
		Attributes: body.Attributes,
		Tags:       body.Tags,
	})
	if err != nil {
		return nil, err
	}
	return c.vault.keyBundle(o, o.Latest())
}

func (c *call) rotateKey() (any, error) {
	o, err := RotateKey(c.tx, c.vault, c.name)
	if err != nil {
		return nil, err
	}
	return c.vault.keyBundle(o, o.Latest())
}

func (c *call) update() (any, error) {
	var change Change
	if c.kind == Key {
		var body struct {
			Operations []string          `json:"key_ops"`
			Attributes Attributes        `json:"attributes"`
			Tags       map[string]string `json:"tags"`
			Release    any               `json:"release_policy"`
		}
		if err := c.decode(&body); err != nil {
			return nil, err
		}
		if body.Release != nil {
			return nil, notImplemented("release policies of keys")
		}
		change = Change{Attributes: body.Attributes, Tags: body.Tags, Operations: body.Operations}
	} else {
		var body struct {
			ContentType *string           `json:"contentType"`
			Attributes  Attributes        `json:"attributes"`
			Tags        map[string]string `json:"tags"`
		}
		if err := c.decode(&body); err != nil {
			return nil, err
		}
		change = Change{Attributes: body.Attributes, Tags: body.Tags, ContentType: body.ContentType}
	}
	o, v, err := UpdateVersion(c.tx, c.vault, c.kind, c.name, c.version, change)
	if err != nil {
		return nil, err
	}
	if c.kind == Key {
		return c.vault.keyBundle(o, v)
	}
	return c.vault.item(o, v, v.ID), nil
}

func (c *call) delete() (any, error) {
	o, err := softDelete(c.tx, c.vault, c.kind, c.name)
	if err != nil {
		return nil, err
	}
	return c.deletedBundle(o)
}

func (c *call) getDeleted() (any, error) {
	o, err := getDeleted(c.tx, c.vault, c.kind, c.name)
	if err != nil {
		return nil, err
	}
	return c.deletedBundle(o)
}

func (c *call) deletedBundle(o Object) (any, error) {
	switch c.kind {
	case Secret:
		return c.vault.item(o, o.Latest(), o.Latest().ID), nil
	case Certificate:
		return c.vault.certificateBundle(o, o.Latest()), nil
	}
	return c.vault.keyBundle(o, o.Latest())
}

func (c *call) recover() (any, error) {
	o, err := recoverDeleted(c.tx, c.vault, c.kind, c.name)
	if err != nil {
		return nil, err
	}
	return c.deletedBundle(o)
}

func (c *call) purge() (any, error) { return nil, purgeDeleted(c.tx, c.vault, c.kind, c.name) }

func (c *call) listObjects() (any, error) { return c.list(false) }

func (c *call) listDeleted() (any, error) { return c.list(true) }

func (c *call) list(deleted bool) (any, error) {
	found, err := list(c.tx, c.vault, c.kind, deleted)
	if err != nil {
		return nil, err
	}
	items := make([]bundle, 0, len(found))
	for _, o := range found {
		if c.kind == Certificate {
			items = append(items, c.vault.certificateItem(o, o.Latest(), ""))
		} else {
			items = append(items, c.vault.item(o, o.Latest(), ""))
		}
	}
	return c.page(items)
}

func (c *call) listVersions() (any, error) {
	o, _, err := c.find(c.kind)
	if err != nil {
		return nil, err
	}
	items := make([]bundle, 0, len(o.Versions))
	for _, v := range o.Versions {
		items = append(items, c.vault.item(o, v, v.ID))
	}
	return c.page(items)
}

// maxPage is the maximum and default size of a page of a list.
const maxPage = 25

// page returns the part of a list that the request asks for.
func (c *call) page(items []bundle) (any, error) {
	query := c.request.URL.Query()
	size, from := maxPage, 0
	if text := query.Get("maxresults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return nil, badParameter("maxresults has to be between 1 and %d, not %s", maxPage, text)
		}
		size = n
	}
	if text := query.Get("$skiptoken"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > len(items) {
			return nil, badParameter("The $skiptoken is not valid")
		}
		from = n
	}
	var next any
	if from+size < len(items) {
		query.Set("$skiptoken", strconv.Itoa(from+size))
		next = "https://" + c.request.Host + c.request.URL.Path + "?" + query.Encode()
	}
	return bundle{"value": items[from:min(from+size, len(items))], "nextLink": next}, nil
}
