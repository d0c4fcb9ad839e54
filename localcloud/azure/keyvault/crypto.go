package keyvault

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP is with SHA-1 by definition
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"hash"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// cipher is an encryption algorithm of RSA keys.
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

// ciphers lists the encryption algorithms of RSA keys
// (https://learn.microsoft.com/azure/key-vault/keys/about-keys-details).
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

// operate performs a cryptographic operation with a version of an RSA key.
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
	o, v, private, err := c.usable(operation, seal)
	if err != nil {
		return nil, err
	}
	key, isRSA := private.(*rsa.PrivateKey)
	algorithm, known := ciphers[body.Algorithm]
	if !isRSA || !known || body.IV+body.AAD+body.Tag != "" {
		return nil, c.incompatible(o, v, body.Algorithm)
	}
	value, err := octets("value", body.Value)
	if err != nil {
		return nil, err
	}
	if seal {
		value, err = algorithm.encrypt(&key.PublicKey, value)
	} else {
		value, err = algorithm.decrypt(key, value)
	}
	if err != nil { // the error does not reveal the value
		return nil, badParameter("The parameter is incorrect: %v", err)
	}
	return bundle{"kid": c.vault.id(Key, o.Name, v.ID), "value": base64.RawURLEncoding.EncodeToString(value)}, nil
}

// usable returns the version of a key for an operation. Outside its validity, a key still decrypts and verifies, but
// does not encrypt or sign
// (https://learn.microsoft.com/azure/key-vault/keys/about-keys-details#date-time-controlled-operations).
func (c *call) usable(operation string, makes bool) (o Object, v Version, private any, err error) {
	o, v, err = c.find(Key)
	if err != nil {
		return o, v, nil, err
	}
	now := time.Now().Unix()
	switch {
	case !v.enabled():
		return o, v, nil, disabled(Key, operation)
	case makes && v.Attributes.NotBefore != nil && now < *v.Attributes.NotBefore:
		return o, v, nil, untimely(operation, "a not yet valid key", "KeyNotYetValid")
	case makes && v.Attributes.Expires != nil && now >= *v.Attributes.Expires:
		return o, v, nil, untimely(operation, "an expired key", "KeyExpired")
	case !slices.Contains(v.Key.Operations, operation):
		return o, v, nil, &Error{
			Status: http.StatusForbidden, Code: "Forbidden", Inner: "KeyOperationForbidden",
			Message: fmt.Sprintf("Operation %s is not permitted on this key.", operation),
		}
	}
	if private, err = x509.ParsePKCS8PrivateKey(v.Key.PKCS8); err != nil {
		return o, v, nil, fmt.Errorf("reading a key: %w", err)
	}
	return o, v, private, nil
}

func (c *call) incompatible(o Object, v Version, algorithm string) *Error {
	return badParameter("Key and algorithm are incompatible. Key %s type is '%s', and algorithm is '%s'.",
		c.vault.id(Key, o.Name, v.ID), v.Key.Type, printable(algorithm))
}

// octets are bytes in the encoding of JSON Web Keys.
func octets(property, text string) ([]byte, error) {
	value, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || text == "" {
		return nil, badParameter("Property %s has an invalid value", property)
	}
	return value, nil
}

// signer is a signature algorithm: the hash of its digests, and the keys that it applies to.
type signer struct {
	hash  crypto.Hash
	curve elliptic.Curve // nil means RSA
	pss   bool
}

// signers lists the signature algorithms of RSA and EC keys
// (https://learn.microsoft.com/azure/key-vault/keys/about-keys-details).
var signers = map[string]signer{
	"RS256": {hash: crypto.SHA256},
	"RS384": {hash: crypto.SHA384},
	"RS512": {hash: crypto.SHA512},
	"PS256": {
		hash: crypto.SHA256,
		pss:  true,
	},
	"PS384": {hash: crypto.SHA384, pss: true},
	"PS512": {hash: crypto.SHA512, pss: true},
	"ES256": {hash: crypto.SHA256, curve: elliptic.P256()},
	"ES384": {hash: crypto.SHA384, curve: elliptic.P384()},
	"ES512": {hash: crypto.SHA512, curve: elliptic.P521()},
}

// signer returns the algorithm for a key and a digest.
func (c *call) signer(o Object, v Version, private any, algorithm, property, given string) (signer, []byte, error) {
	s, known := signers[algorithm]
	if algorithm == "ES256K" || algorithm == "RSNULL" {
		return s, nil, notImplemented("the algorithm " + algorithm)
	}
	_, isRSA := private.(*rsa.PrivateKey)
	ec, _ := private.(*ecdsa.PrivateKey)
	if !known || isRSA != (s.curve == nil) || s.curve != nil && (ec == nil || ec.Curve != s.curve) {
		return s, nil, c.incompatible(o, v, algorithm)
	}
	digest, err := octets(property, given)
	if err == nil && len(digest) != s.hash.Size() {
		err = badParameter("Invalid length of '%s': %d bytes. Algorithm %s requires %d bytes, encoded with base64url.",
			property, len(digest), algorithm, s.hash.Size())
	}
	return s, digest, err
}

func (c *call) sign() (any, error) {
	var body struct {
		Algorithm string `json:"alg"`
		Value     string `json:"value"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, v, private, err := c.usable("sign", true)
	if err != nil {
		return nil, err
	}
	s, digest, err := c.signer(o, v, private, body.Algorithm, "value", body.Value)
	if err != nil {
		return nil, err
	}
	var signature []byte
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if s.pss {
			signature, err = rsa.SignPSS(rand.Reader, key, s.hash, digest, &rsa.PSSOptions{
				SaltLength: rsa.PSSSaltLengthEqualsHash,
			})
		} else {
			signature, err = rsa.SignPKCS1v15(nil, key, s.hash, digest)
		}
	case *ecdsa.PrivateKey:
		// JSON Web Signatures have both halves, one after the other.
		var one, two *big.Int
		if one, two, err = ecdsa.Sign(rand.Reader, key, digest); err == nil {
			half := (s.curve.Params().BitSize + 7) / 8
			signature = append(one.FillBytes(make([]byte, half)), two.FillBytes(make([]byte, half))...)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return bundle{"kid": c.vault.id(Key, o.Name, v.ID), "value": base64.RawURLEncoding.EncodeToString(signature)}, nil
}

func (c *call) verify() (any, error) {
	var body struct {
		Algorithm string `json:"alg"`
		Digest    string `json:"digest"`
		Signature string `json:"value"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, v, private, err := c.usable("verify", false)
	if err != nil {
		return nil, err
	}
	s, digest, err := c.signer(o, v, private, body.Algorithm, "digest", body.Digest)
	if err != nil {
		return nil, err
	}
	signature, err := octets("value", body.Signature)
	if err != nil {
		return nil, err
	}
	right := false
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if s.pss {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			right = rsa.VerifyPSS(&key.PublicKey, s.hash, digest, signature, options) == nil
		} else {
			right = rsa.VerifyPKCS1v15(&key.PublicKey, s.hash, digest, signature) == nil
		}
	case *ecdsa.PrivateKey:
		half := (s.curve.Params().BitSize + 7) / 8
		right = len(signature) == 2*half && ecdsa.Verify(&key.PublicKey, digest,
			new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	}
	return bundle{"value": right}, nil
}

func untimely(operation, when, inner string) *Error {
	return &Error{
		Status:  http.StatusForbidden,
		Code:    "Forbidden",
		Inner:   inner,
		Message: fmt.Sprintf("Operation %s is not allowed on %s.", operation, when),
	}
}
