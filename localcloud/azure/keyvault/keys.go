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
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// KeySpec describes a key to create.
type KeySpec struct {
	Type       string // RSA, RSA-HSM, EC or EC-HSM; the HSM types require a premium vault
	Size       int    // of an RSA key: 2048, 3072 or 4096. Defaults to 2048.
	Curve      string // of an EC key: P-256, P-384 or P-521. Defaults to P-256.
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

// CreateKey generates a key pair as a new version of a key.
func CreateKey(tx *store.Tx, v Vault, name string, spec KeySpec) (Object, error) {
	o, err := forWriting(tx, v, Key, name, "create")
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

// Is reports whether the latest version of a key matches a spec. Omitted fields mean the defaults.
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

// RotateKey creates a new version. It expires as the key's rotation policy says.
func RotateKey(tx *store.Tx, v Vault, name string) (Object, error) {
	o, ok, err := Get(tx, v, Key, name)
	if err != nil {
		return o, err
	}
	if !ok {
		return o, notFound(Key, name, "")
	}
	if o.Managed {
		return o, notImplemented("rotating the key of a certificate")
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
		Attributes: attributes,
		Type:       latest.Key.Type,
		Size:       latest.Key.Size,
		Curve:      latest.Key.Curve,
		Operations: latest.Key.Operations,
		Tags:       latest.Tags,
	})
}

func checkOperations(operations []string) error {
	for _, operation := range operations {
		if !slices.Contains(allOperations, operation) {
			return badParameter("Key operation %.40q is not valid.", operation)
		}
	}
	return nil
}

func newKey(v Vault, spec KeySpec) (*KeyMaterial, error) {
	family, hsm := strings.CutSuffix(spec.Type, "-HSM")
	if hsm && !v.Premium {
		return nil, badParameter("The key type %s is not supported by the standard SKU of this vault.", spec.Type)
	}
	if err := checkOperations(spec.Operations); err != nil {
		return nil, err
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

// givenKey is a JSON Web Key with its private half (RFC 7517 and RFC 7518).
type givenKey struct {
	ID         string   `json:"kid"`
	Type       string   `json:"kty"`
	Operations []string `json:"key_ops"`
	Curve      string   `json:"crv"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	D          string   `json:"d"`
	P          string   `json:"p"`
	Q          string   `json:"q"`
	DP         string   `json:"dp"`
	DQ         string   `json:"dq"`
	QI         string   `json:"qi"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
	K          string   `json:"k"`
	Transfer   string   `json:"key_hsm"`
}

// private returns the key pair. It checks that redundant values agree.
func (g givenKey) private() (crypto.Signer, error) {
	var err error
	number := func(name, text string) *big.Int {
		value, wrong := octets("key."+name, text)
		if wrong != nil && err == nil {
			err = wrong
		}
		return new(big.Int).SetBytes(value)
	}
	if g.Transfer != "" {
		return nil, notImplemented("keys of hardware modules that are brought along (key_hsm)")
	}
	switch family, _ := strings.CutSuffix(g.Type, "-HSM"); family {
	case "RSA":
		e := number("e", g.E)
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{
				N: number("n", g.N),
			},
			D:      number("d", g.D),
			Primes: []*big.Int{number("p", g.P), number("q", g.Q)},
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains([]int{2048, 3072, 4096}, key.N.BitLen()) || !e.IsInt64() || e.Int64() >= 1<<31 {
			return nil, badParameter("Property key has an invalid value: an RSA key of 2048, 3072 or 4096 bits.")
		}
		// Validate takes minutes with very large numbers and would block other writers.
		tooLarge := func(x *big.Int) bool { return x.BitLen() > key.N.BitLen() }
		if key.E = int(e.Int64()); tooLarge(key.D) || slices.ContainsFunc(key.Primes, tooLarge) || key.Validate() != nil {
			return nil, badParameter("Property key has an invalid value: its numbers are no RSA key.")
		}
		key.Precompute()
		return key, nil
	case "EC":
		if g.Curve == "P-256K" {
			return nil, notImplemented("keys on curve P-256K")
		}
		curve, ok := curves[g.Curve]
		x, y, d := number("x", g.X), number("y", g.Y), number("d", g.D)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, badParameter("Curve %.40q is not valid: P-256, P-256K, P-384 or P-521.", g.Curve)
		}
		size := (curve.Params().BitSize + 7) / 8
		if x.BitLen() > 8*size || y.BitLen() > 8*size || d.BitLen() > 8*size {
			return nil, badParameter("Property key has an invalid value: its numbers are no key of the curve.")
		}
		key, err := ecdsa.ParseRawPrivateKey(curve, d.FillBytes(make([]byte, size)))
		if err == nil {
			var public *ecdsa.PublicKey
			public, err = ecdsa.ParseUncompressedPublicKey(curve,
				append(append([]byte{4}, x.FillBytes(make([]byte, size))...), y.FillBytes(make([]byte, size))...))
			if err == nil && key.PublicKey.Equal(public) {
				return key, nil
			}
		}
		return nil, badParameter("Property key has an invalid value: its numbers are no key of the curve.")
	case "oct":
		return nil, badParameter("Key type %q is not supported by vaults.", g.Type)
	}
	return nil, badParameter("Key type %.40q is not valid: RSA, RSA-HSM, EC or EC-HSM.", g.Type)
}

// importKey stores the key in the request as a new version.
func (c *call) importKey() (any, error) {
	var body struct {
		HSM        *bool             `json:"Hsm"`
		Key        *givenKey         `json:"key"`
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
	if body.Key == nil {
		return nil, badParameter("The parameter key is required")
	}
	if body.HSM != nil && *body.HSM && !strings.HasSuffix(body.Key.Type, "-HSM") {
		body.Key.Type += "-HSM"
	}
	if strings.HasSuffix(body.Key.Type, "-HSM") && !c.vault.Premium {
		return nil, badParameter("The key type %.40s is not supported by the standard SKU of this vault.", body.Key.Type)
	}
	o, err := forWriting(c.tx, c.vault, Key, c.name, "import")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(check(body.Attributes, body.Tags), checkOperations(body.Key.Operations)); err != nil {
		return nil, err
	}
	private, err := body.Key.private()
	if err != nil {
		return nil, err
	}
	version := newVersion(body.Attributes, body.Tags)
	if version.Key, err = material(private, body.Key.Type, body.Key.Operations); err != nil {
		return nil, err
	}
	o.Versions = append(o.Versions, version)
	if err := put(c.tx, o); err != nil {
		return nil, err
	}
	return c.vault.keyBundle(o, version)
}

// material converts an imported key pair. Nil operations mean all that the key supports.
func material(private crypto.PrivateKey, kty string, operations []string) (*KeyMaterial, error) {
	m := &KeyMaterial{Type: kty, Operations: operations}
	usual := rsaOperations
	switch key := private.(type) {
	case *rsa.PrivateKey:
		m.Size = key.N.BitLen()
	case *ecdsa.PrivateKey:
		m.Curve, usual = key.Params().Name, ecOperations
	}
	if operations == nil {
		m.Operations = usual
	}
	var err error
	if m.PKCS8, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, fmt.Errorf("keeping a key: %w", err)
	}
	return m, nil
}

func (m KeyMaterial) public() (crypto.PublicKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(m.PKCS8)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return private.(crypto.Signer).Public(), nil
}

// jsonWebKey returns the public half of a key in Key Vault's encoding.
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
