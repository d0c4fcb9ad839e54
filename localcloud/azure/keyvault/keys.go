package keyvault

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// KeySpec says what key to make.
type KeySpec struct {
	Type       string // RSA, RSA-HSM, EC or EC-HSM; the HSM types need a premium vault
	Size       int    // of an RSA key: 2048 (default), 3072 or 4096
	Curve      string // of an EC key: P-256 (default), P-384 or P-521
	Operations []string
	Attributes Attributes
	Tags       map[string]string
}

// KeyMaterial is a key pair.
type KeyMaterial struct {
	Type       string
	Size       int    // RSA
	Curve      string // EC
	Operations []string
	PKCS8      []byte
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

var (
	rsaOperations = []string{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}
	ecOperations  = []string{"sign", "verify"}
	allOperations = append([]string{"import", "release"}, rsaOperations...)
)

// CreateKey makes a key pair as a new version of a key.
func CreateKey(tx *store.Tx, v Vault, name string, spec KeySpec) (Object, error) {
	o, err := forWriting(tx, v, Key, name)
	if err != nil {
		return o, err
	}
	if err := check(spec.Attributes, spec.Tags); err != nil {
		return o, err
	}
	material, err := newKey(v, spec)
	if err != nil {
		return o, err
	}
	version := newVersion(spec.Attributes, spec.Tags)
	version.Key = material
	o.Versions = append(o.Versions, version)
	return o, put(tx, o)
}

// Is says whether the latest version of a key is what a spec asks for, what it leaves out being the default.
func (o Object) Is(spec KeySpec) bool {
	latest := o.Latest()
	ec := strings.HasPrefix(spec.Type, "EC")
	size, curve, operations := 0, cmp.Or(spec.Curve, "P-256"), ecOperations
	if !ec {
		size, curve, operations = cmp.Or(spec.Size, 2048), "", rsaOperations
	}
	if spec.Operations != nil {
		operations = spec.Operations
	}
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	same := func(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }
	is, asked := latest.Attributes, spec.Attributes
	return latest.Key.Type == spec.Type && latest.Key.Size == size && latest.Key.Curve == curve &&
		slices.Equal(sorted(latest.Key.Operations), sorted(operations)) && maps.Equal(latest.Tags, spec.Tags) &&
		latest.enabled() == (Version{Attributes: asked}).enabled() &&
		same(is.NotBefore, asked.NotBefore) && same(is.Expires, asked.Expires)
}

// RotateKey makes a new version after the latest; it expires when the key's policy says.
func RotateKey(tx *store.Tx, v Vault, name string) (Object, error) {
	o, ok, err := Get(tx, v, Key, name)
	if err != nil {
		return o, err
	}
	if !ok {
		return o, notFound(Key, name, "")
	}
	latest := o.Latest()
	var attributes Attributes
	if o.Rotation != nil {
		if end, ok := after(time.Now(), o.Rotation.Attributes.ExpiryTime); ok {
			expires := end.Unix()
			attributes.Expires = &expires
		}
	}
	return CreateKey(tx, v, name, KeySpec{
		Attributes: attributes, Type: latest.Key.Type, Size: latest.Key.Size, Curve: latest.Key.Curve, Operations: latest.Key.Operations, Tags: latest.Tags,
	})
}

func newKey(v Vault, spec KeySpec) (*KeyMaterial, error) {
	family, hsm := strings.CutSuffix(spec.Type, "-HSM")
	if hsm && !v.Premium {
		return nil, badParameter("The key type %s is not supported by the standard SKU of this vault.", spec.Type)
	}
	for _, operation := range spec.Operations {
		if !slices.Contains(allOperations, operation) {
			return nil, badParameter("Key operation %q is not valid.", operation)
		}
	}
	material := &KeyMaterial{Type: spec.Type, Operations: spec.Operations}
	var private any
	var err error
	switch family {
	case "RSA":
		material.Size = spec.Size
		if material.Size == 0 {
			material.Size = 2048
		}
		if !slices.Contains([]int{2048, 3072, 4096}, material.Size) {
			return nil, badParameter("Key size %d is not valid for key type %s: 2048, 3072 or 4096.", spec.Size, spec.Type)
		}
		if material.Operations == nil {
			material.Operations = rsaOperations
		}
		private, err = rsa.GenerateKey(rand.Reader, material.Size)
	case "EC":
		material.Curve = spec.Curve
		if material.Curve == "" {
			material.Curve = "P-256"
		}
		if material.Curve == "P-256K" {
			return nil, notImplemented("keys on curve P-256K")
		}
		curve, ok := curves[material.Curve]
		if !ok {
			return nil, badParameter("Curve %q is not valid: P-256, P-256K, P-384 or P-521.", spec.Curve)
		}
		if material.Operations == nil {
			material.Operations = ecOperations
		}
		private, err = ecdsa.GenerateKey(curve, rand.Reader)
	default:
		return nil, badParameter("Key type %q is not valid: RSA, RSA-HSM, EC or EC-HSM.", spec.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	material.PKCS8, err = x509.MarshalPKCS8PrivateKey(private)
	return material, err
}

func (m KeyMaterial) public() (crypto.PublicKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(m.PKCS8)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return private.(crypto.Signer).Public(), nil
}

// jsonWebKey is the public half of a key, as Key Vault writes it.
func jsonWebKey(public crypto.PublicKey, kty string, operations []string, id string) (map[string]any, error) {
	jwk := map[string]any{"kid": id, "kty": kty, "key_ops": operations}
	base64url := base64.RawURLEncoding.EncodeToString
	switch key := public.(type) {
	case *rsa.PublicKey:
		jwk["n"], jwk["e"] = base64url(key.N.Bytes()), base64url(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, x, y
		if err != nil {
			return nil, fmt.Errorf("reading a key: %w", err)
		}
		half := len(point) / 2
		jwk["crv"], jwk["x"], jwk["y"] = key.Params().Name, base64url(point[1:1+half]), base64url(point[1+half:])
	default:
		return nil, fmt.Errorf("a key of type %T has no JSON Web Key here", public)
	}
	return jwk, nil
}
