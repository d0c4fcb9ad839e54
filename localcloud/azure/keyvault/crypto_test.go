package keyvault_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

type algorithm = azkeys.SignatureAlgorithm

// verifies checks a signature with only the public key.
func verifies(key *azkeys.JSONWebKey, alg algorithm, hash crypto.Hash, digest, signature []byte) bool {
	if key.N != nil {
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(key.N), E: int(new(big.Int).SetBytes(key.E).Int64())}
		if alg[0] == 'P' {
			return rsa.VerifyPSS(public, hash, digest, signature, &rsa.PSSOptions{SaltLength: hash.Size()}) == nil
		}
		return rsa.VerifyPKCS1v15(public, hash, digest, signature) == nil
	}
	curve := map[azkeys.CurveName]elliptic.Curve{
		azkeys.CurveNameP256: elliptic.P256(), azkeys.CurveNameP384: elliptic.P384(), azkeys.CurveNameP521: elliptic.P521(),
	}[*key.Crv]
	half := len(signature) / 2
	public, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, key.X...), key.Y...))
	return err == nil && half == (curve.Params().BitSize+7)/8 &&
		ecdsa.Verify(public, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
}

func digestOf(hash crypto.Hash, text string) []byte {
	h := hash.New()
	h.Write([]byte(text))
	return h.Sum(nil)
}

func TestSign_IsVerifiedByPublicKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := w.keys(w.admin)
	for name, of := range map[string]azkeys.CreateKeyParameters{
		"rsa": {Kty: to.Ptr(azkeys.KeyTypeRSA)}, "p256": {Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP256)},
		"p384": {Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP384)}, "p521": {
			Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP521),
		},
	} {
		_, err := keys.CreateKey(t.Context(), name, of, nil)
		w.must(err)
	}
	for alg, of := range map[algorithm]struct {
		key  string
		hash crypto.Hash
	}{
		"RS256": {"rsa", crypto.SHA256}, "RS384": {"rsa", crypto.SHA384}, "RS512": {"rsa", crypto.SHA512},
		"PS256": {"rsa", crypto.SHA256}, "PS384": {"rsa", crypto.SHA384}, "PS512": {"rsa", crypto.SHA512},
		"ES256": {"p256", crypto.SHA256}, "ES384": {"p384", crypto.SHA384}, "ES512": {"p521", crypto.SHA512},
	} {
		digest, other := digestOf(of.hash, "text"), digestOf(of.hash, "other")
		signed, err := keys.Sign(t.Context(), of.key, "", azkeys.SignParameters{Algorithm: &alg, Value: digest}, nil)
		w.must(err)
		key, err := keys.GetKey(t.Context(), of.key, signed.KID.Version(), nil)
		w.must(err)
		if !verifies(key.Key, alg, of.hash, digest, signed.Result) || verifies(key.Key, alg, of.hash, other, signed.Result) {
			t.Errorf("%s: Go's library has it otherwise", alg)
		}
		for want, given := range map[bool][]byte{true: digest, false: other} {
			verified, err := keys.Verify(t.Context(), of.key, "",
				azkeys.VerifyParameters{Algorithm: &alg, Digest: given, Signature: signed.Result}, nil)
			w.must(err)
			if *verified.Value != want {
				t.Errorf("%s: the vault verifies %v", alg, *verified.Value)
			}
		}
		for name, given := range map[string][]byte{"cut": signed.Result[1:], "cut short": signed.Result[:10], "long": append([]byte{0}, signed.Result...)} {
			verified, err := keys.Verify(t.Context(), of.key, "",
				azkeys.VerifyParameters{Algorithm: &alg, Digest: digest, Signature: given}, nil)
			w.must(err)
			if *verified.Value {
				t.Errorf("%s: a signature that is %s is verified", alg, name)
			}
		}
	}
}

func TestSign_RefusesInvalidRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := w.keys(w.admin)
	ec := azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeEC)}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, change := range map[string]func(*azkeys.CreateKeyParameters){
		"key": func(*azkeys.CreateKeyParameters) {},
		"verifies": func(p *azkeys.CreateKeyParameters) {
			p.KeyOps = []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationVerify)}
		},
		"expired":  func(p *azkeys.CreateKeyParameters) { p.KeyAttributes = &azkeys.KeyAttributes{Expires: &past} },
		"early":    func(p *azkeys.CreateKeyParameters) { p.KeyAttributes = &azkeys.KeyAttributes{NotBefore: &future} },
		"disabled": func(p *azkeys.CreateKeyParameters) { p.KeyAttributes = &azkeys.KeyAttributes{Enabled: to.Ptr(false)} },
	} {
		of := ec
		change(&of)
		_, err := keys.CreateKey(t.Context(), name, of, nil)
		w.must(err)
	}
	digest := digestOf(crypto.SHA256, "text")
	for name, test := range map[string]struct {
		key    string
		alg    algorithm
		digest []byte
		status int
		code   string
	}{
		"of another curve":    {"key", "ES384", digestOf(crypto.SHA384, ""), 400, "BadParameter"},
		"of RSA":              {"key", "RS256", digest, 400, "BadParameter"},
		"of symmetric keys":   {"key", "HS256", digest, 400, "BadParameter"},
		"unknown":             {"key", "none", digest, 400, "BadParameter"},
		"a curve not here":    {"key", "ES256K", digest, 501, "NotImplemented"},
		"a text":              {"key", "ES256", []byte("text"), 400, "BadParameter"},
		"nothing":             {"key", "ES256", nil, 400, "BadParameter"},
		"a key that does not": {"verifies", "ES256", digest, 403, "KeyOperationForbidden"},
		"an expired key":      {"expired", "ES256", digest, 403, "KeyExpired"},
		"a key not yet valid": {"early", "ES256", digest, 403, "KeyNotYetValid"},
		"a disabled key":      {"disabled", "ES256", digest, 403, "KeyDisabled"},
		"a key that is not":   {"absent", "ES256", digest, 404, "KeyNotFound"},
	} {
		_, err := keys.Sign(t.Context(), test.key, "", azkeys.SignParameters{Algorithm: &test.alg, Value: test.digest}, nil)
		w.refused(name, err, test.status, test.code)
	}
	// Signatures are also verified outside the key's validity.
	for _, name := range []string{"verifies", "expired", "early"} {
		if _, err := keys.Verify(t.Context(), name, "", azkeys.VerifyParameters{
			Algorithm: to.Ptr(azkeys.SignatureAlgorithmES256), Digest: digest, Signature: make([]byte, 64),
		}, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Operations of a key can be changed.
	_, err := keys.UpdateKey(t.Context(), "verifies", "",
		azkeys.UpdateKeyParameters{KeyOps: []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationSign)}}, nil)
	w.must(err)
	_, err = keys.Sign(t.Context(), "verifies", "",
		azkeys.SignParameters{Algorithm: to.Ptr(azkeys.SignatureAlgorithmES256), Value: digest}, nil)
	w.must(err)
}

func jwk(private any) *azkeys.JSONWebKey {
	switch key := private.(type) {
	case *rsa.PrivateKey:
		key.Precompute()
		return &azkeys.JSONWebKey{
			Kty: to.Ptr(azkeys.KeyTypeRSA),
			N:   key.N.Bytes(),
			E:   big.NewInt(int64(key.E)).Bytes(),
			D:   key.D.Bytes(),
			P:   key.Primes[0].Bytes(),
			Q:   key.Primes[1].Bytes(),
			DP:  key.Precomputed.Dp.Bytes(),
			DQ:  key.Precomputed.Dq.Bytes(),
			QI:  key.Precomputed.Qinv.Bytes(),
		}
	case *ecdsa.PrivateKey:
		d, _ := key.Bytes()
		point, _ := key.PublicKey.Bytes()
		half := len(point) / 2
		return &azkeys.JSONWebKey{
			Kty: to.Ptr(azkeys.KeyTypeEC),
			Crv: to.Ptr(azkeys.CurveName(key.Params().Name)),
			X:   point[1 : 1+half],
			Y:   point[1+half:],
			D:   d,
		}
	}
	return nil
}

func TestImportKey_RefusesLargeNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	huge := bytes.Repeat([]byte{0xff}, 50_000)
	for name, change := range map[string]func(*azkeys.JSONWebKey){
		"d": func(k *azkeys.JSONWebKey) { k.D = huge },
		"p": func(k *azkeys.JSONWebKey) { k.P = huge },
		"q": func(k *azkeys.JSONWebKey) { k.Q = huge },
	} {
		given := jwk(one)
		change(given)
		began := time.Now()
		if _, err := w.keys(w.admin).
			ImportKey(t.Context(), "huge", azkeys.ImportKeyParameters{Key: given}, nil); err == nil ||
			time.Since(began) > 10*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(began))
		}
	}
}

func TestImportKey_KeepsKeyPair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := w.keys(w.admin)
	one, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	two, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	w.must(err)
	for alg, of := range map[algorithm]struct {
		private crypto.Signer
		hash    crypto.Hash
	}{"PS256": {one, crypto.SHA256}, "ES384": {two, crypto.SHA384}} {
		made, err := keys.ImportKey(t.Context(), "given",
			azkeys.ImportKeyParameters{Key: jwk(of.private), Tags: map[string]*string{"a": to.Ptr("b")}}, nil)
		w.must(err)
		if made.Key.D != nil || made.Key.P != nil || *made.Tags["a"] != "b" {
			t.Error("the private half is shown, or the tag not")
		}
		digest := digestOf(of.hash, "text")
		signed, err := keys.Sign(t.Context(), "given", "", azkeys.SignParameters{Algorithm: &alg, Value: digest}, nil)
		w.must(err)
		if public := jwk(of.private); !verifies(public, alg, of.hash, digest, signed.Result) {
			t.Errorf("%s: another key has signed", alg)
		}
	}
	versions := 0
	for pager := keys.NewListKeyPropertiesVersionsPager("given", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		w.must(err)
		versions += len(page.Value)
	}
	if versions != 2 {
		t.Errorf("%d versions", versions)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil { // as Go's clients do
		small = one
	}
	three, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	w.must(err)
	mixed := jwk(two)
	mixed.D = jwk(three).D
	broken, elsewhere := jwk(one), jwk(two)
	broken.D = broken.N
	elsewhere.X = elsewhere.Y
	for name, test := range map[string]struct {
		key    *azkeys.JSONWebKey
		status int
		code   string
	}{
		"no key of RSA":         {broken, 400, "BadParameter"},
		"two halves":            {mixed, 400, "BadParameter"},
		"no point of the curve": {elsewhere, 400, "BadParameter"},
		"no private half": {
			&azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), N: one.N.Bytes(), E: []byte{1, 0, 1}}, 400, "BadParameter",
		},
		"nothing":         {nil, 400, "BadParameter"},
		"a symmetric one": {&azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeOct), K: []byte("k")}, 400, "BadParameter"},
		"a curve not here": {
			&azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeEC), Crv: to.Ptr(azkeys.CurveNameP256K)}, 501, "NotImplemented",
		},
		"of hardware": {&azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSAHSM), T: []byte("t")}, 400, "BadParameter"},
	} {
		_, err := keys.ImportKey(t.Context(), "refused", azkeys.ImportKeyParameters{Key: test.key}, nil)
		w.refused(name, err, test.status, test.code)
	}
	if small != one {
		_, err := keys.ImportKey(t.Context(), "refused", azkeys.ImportKeyParameters{Key: jwk(small)}, nil)
		w.refused("too small", err, 400, "BadParameter")
	}
}

func TestServer_NamesUnsupportedOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, request := range []string{
		"POST /rng",
		"POST /keys/k/v/release",
		"GET /keys/k/v/attestation",
		"GET /certificates/contacts",
		"PUT /certificates/issuers/one",
		"GET /certificates/issuers",
		"GET /storage", "PUT /nothing",
	} {
		method, path, _ := cut(request)
		if got := w.json(w.admin, method, path, "{}"); got != "501 NotImplemented" {
			t.Errorf("%s: %s", request, got)
		}
		if got := w.json("nobody", method, path, "{}"); got != "401 Unauthorized" {
			t.Errorf("%s without a token: %s", request, got)
		}
	}
}

func TestServer_NeverRedirects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.set("s", "v"))
	for path, want := range map[string]string{
		"/secrets/../secrets/s": "200",
		"//secrets//s":          "200",
		"/secrets/./s/":         "200",
		"/secrets/s//":          "200",
		"/secrets/%2e%2e/s":     "404 SecretNotFound",
		"/":                     "501 NotImplemented",
		"/..":                   "501 NotImplemented", "/secrets/a%2Fb": "404 SecretNotFound",
	} {
		if got := w.json(w.admin, http.MethodGet, path, ""); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if got := w.json("nobody", http.MethodGet, path, ""); got != "401 Unauthorized" {
			t.Errorf("%s without a token: %s", path, got)
		}
	}
}
