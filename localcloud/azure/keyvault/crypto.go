package keyvault

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP is with SHA-1 by definition
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"
)

// cipher is an algorithm of RSA keys: both of its halves.
type cipher struct {
	encrypt func(key *rsa.PublicKey, plain []byte) ([]byte, error)
	decrypt func(key *rsa.PrivateKey, sealed []byte) ([]byte, error)
}

func oaep(h func() hash.Hash) cipher {
	return cipher{
		func(key *rsa.PublicKey, plain []byte) ([]byte, error) {
			return rsa.EncryptOAEP(h(), rand.Reader, key, plain, nil)
		},
		func(key *rsa.PrivateKey, sealed []byte) ([]byte, error) {
			return rsa.DecryptOAEP(h(), nil, key, sealed, nil)
		},
	}
}

// ciphers are those of RSA keys (https://learn.microsoft.com/azure/key-vault/keys/about-keys-details).
var ciphers = map[string]cipher{
	"RSA-OAEP-256": oaep(sha256.New),
	"RSA-OAEP":     oaep(sha1.New),
	"RSA1_5": {
		func(key *rsa.PublicKey, plain []byte) ([]byte, error) {
			return rsa.EncryptPKCS1v15(rand.Reader, key, plain) //nolint:staticcheck // Key Vault still has it
		},
		func(key *rsa.PrivateKey, sealed []byte) ([]byte, error) {
			return rsa.DecryptPKCS1v15(nil, key, sealed) //nolint:staticcheck // as above
		},
	},
}

func (c *call) encrypt() (any, error) { return c.operate("encrypt", true) }
func (c *call) decrypt() (any, error) { return c.operate("decrypt", false) }
func (c *call) wrap() (any, error)    { return c.operate("wrapKey", true) }
func (c *call) unwrap() (any, error)  { return c.operate("unwrapKey", false) }

// operate does a cryptographic operation with a version of a key. Outside of the key's time what was sealed is still opened, and nothing
// sealed (https://learn.microsoft.com/azure/key-vault/keys/about-keys-details#date-time-controlled-operations).
func (c *call) operate(operation string, seal bool) (any, error) {
	var body struct {
		Algorithm string `json:"alg"`
		Value     string `json:"value"`
		IV        string `json:"iv"`
		AAD       string `json:"aad"`
		Tag       string `json:"tag"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, v, err := c.find(Key)
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "KeyNotFound" {
		if _, ok, _ := c.certificateKeyBundle(); ok {
			return nil, notImplemented(operation + " with the key of a certificate")
		}
	}
	if err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	switch {
	case !v.enabled():
		return nil, disabled(Key, operation)
	case seal && v.Attributes.NotBefore != nil && now < *v.Attributes.NotBefore:
		return nil, untimely(operation, "a not yet valid key", "KeyNotYetValid")
	case seal && v.Attributes.Expires != nil && now >= *v.Attributes.Expires:
		return nil, untimely(operation, "an expired key", "KeyExpired")
	case !slices.Contains(v.Key.Operations, operation):
		return nil, &Error{
			Status: http.StatusForbidden, Code: "Forbidden", Inner: "KeyOperationForbidden",
			Message: fmt.Sprintf("Operation %s is not permitted on this key.", operation),
		}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(v.Key.PKCS8)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	private, isRSA := parsed.(*rsa.PrivateKey)
	algorithm, known := ciphers[body.Algorithm]
	if !isRSA || !known || body.IV+body.AAD+body.Tag != "" {
		return nil, badParameter("Key and algorithm are incompatible. Key %s type is '%s', and algorithm is '%s'.",
			c.vault.id(Key, o.Name, v.ID), v.Key.Type, body.Algorithm)
	}
	value, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(body.Value, "="))
	if err != nil || body.Value == "" {
		return nil, badParameter("Property value has an invalid value")
	}
	if seal {
		value, err = algorithm.encrypt(&private.PublicKey, value)
	} else {
		value, err = algorithm.decrypt(private, value)
	}
	if err != nil { // which says nothing of the value
		return nil, badParameter("The parameter is incorrect: %v", err)
	}
	return bundle{"kid": c.vault.id(Key, o.Name, v.ID), "value": base64.RawURLEncoding.EncodeToString(value)}, nil
}

func untimely(operation, when, inner string) *Error {
	return &Error{
		Status: http.StatusForbidden, Code: "Forbidden", Inner: inner, Message: fmt.Sprintf("Operation %s is not allowed on %s.", operation, when),
	}
}
