package keyvault_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
)

// ofIssuer returns a policy with an EC key, which is generated quickly.
func ofIssuer(
	issuer string,
	change func(*azcertificates.CertificatePolicy),
) azcertificates.CreateCertificateParameters {
	p := &azcertificates.CertificatePolicy{
		IssuerParameters: &azcertificates.IssuerParameters{Name: &issuer},
		KeyProperties: &azcertificates.KeyProperties{
			KeyType: to.Ptr(azcertificates.KeyTypeEC),
			Curve:   to.Ptr(azcertificates.CurveNameP256),
		},
		X509CertificateProperties: &azcertificates.X509CertificateProperties{
			Subject: to.Ptr(`CN=web.example, O="One, Two", C=US`),
			SubjectAlternativeNames: &azcertificates.SubjectAlternativeNames{
				DNSNames: []*string{to.Ptr("web.example"), to.Ptr("*.web.example")},
			},
		},
	}
	if change != nil {
		change(p)
	}
	return azcertificates.CreateCertificateParameters{CertificatePolicy: p}
}

func (w *world) create(
	name, issuer string,
	change func(*azcertificates.CertificatePolicy),
) azcertificates.CreateCertificateResponse {
	w.Helper()
	made, err := w.certificates(w.admin).CreateCertificate(w.Context(), name, ofIssuer(issuer, change), nil)
	w.must(err)
	return made
}

func (w *world) secret(name, version string) azsecrets.GetSecretResponse {
	w.Helper()
	got, err := w.secrets(w.admin).GetSecret(w.Context(), name, version, nil)
	w.must(err)
	return got
}

func (w *world) certificate(name string) azcertificates.GetCertificateResponse {
	w.Helper()
	got, err := w.certificates(w.admin).GetCertificate(w.Context(), name, "", nil)
	w.must(err)
	return got
}

// signsAs checks that the key of a certificate signs and the certificate verifies.
func (w *world) signsAs(name string, leaf *x509.Certificate) {
	w.Helper()
	alg, hash := azkeys.SignatureAlgorithmES256, crypto.SHA256
	if leaf.PublicKeyAlgorithm == x509.RSA {
		alg = azkeys.SignatureAlgorithmRS256
	}
	keys := w.keys(w.admin)
	digest := digestOf(hash, "text")
	signed, err := keys.Sign(w.Context(), name, "", azkeys.SignParameters{Algorithm: &alg, Value: digest}, nil)
	w.must(err)
	key, err := keys.GetKey(w.Context(), name, "", nil)
	w.must(err)
	if !verifies(key.Key, alg, hash, digest, signed.Result) || !*key.Managed {
		w.Error("the key signs otherwise than it shows itself, or is not managed")
	}
	signature, algorithm := signed.Result, x509.SHA256WithRSA
	if leaf.PublicKeyAlgorithm != x509.RSA {
		half := len(signature) / 2
		if !ecdsa.Verify(leaf.PublicKey.(*ecdsa.PublicKey), digest, new(big.Int).SetBytes(signature[:half]),
			new(big.Int).SetBytes(signature[half:])) {
			w.Error("the certificate does not verify what its key has signed")
		}
	} else if err := leaf.CheckSignature(algorithm, []byte("text"), signature); err != nil {
		w.Error(err)
	}
}

func TestCertificate_SignsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certificates := w.certificates(w.admin)
	for _, contentType := range []string{"application/x-pkcs12", "application/x-pem-file"} {
		for _, kty := range []azcertificates.KeyType{azcertificates.KeyTypeEC, azcertificates.KeyTypeRSA} {
			name := string(kty) + contentType[14:17]
			made := w.create(name, "Self", func(p *azcertificates.CertificatePolicy) {
				p.SecretProperties = &azcertificates.SecretProperties{ContentType: &contentType}
				if kty == azcertificates.KeyTypeRSA {
					p.KeyProperties = nil // the default, RSA with 2048 bits
				}
			})
			if *made.Status != "inProgress" || *made.CancellationRequested ||
				!strings.HasPrefix(*made.StatusDetails, "Pending certificate created.") {
				t.Errorf("%s: %s", name, *made.Status)
			}
			request, err := x509.ParseCertificateRequest(made.CSR)
			w.must(err)
			w.must(request.CheckSignature())
			done, err := certificates.GetCertificateOperation(t.Context(), name, nil)
			w.must(err)
			if *done.Status != "completed" || *done.Target != uri+"certificates/"+name || *done.RequestID != *made.RequestID {
				t.Errorf("%s: then %s", name, *done.Status)
			}

			got := w.certificate(name)
			leaf, err := x509.ParseCertificate(got.CER)
			w.must(err)
			if err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate,
				leaf.Signature); err != nil || leaf.Subject.CommonName != "web.example" ||
				leaf.Subject.Organization[0] != "One, Two" || !slices.Equal(leaf.DNSNames, []string{"web.example", "*.web.example"}) ||
				got.Attributes.Expires.Unix() != leaf.NotAfter.Unix() || leaf.NotAfter.Before(time.Now().AddDate(0, 11, 20)) || leaf.IsCA ||
				leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth ||
				leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
				t.Errorf("%s: %v %v %v", name, err, leaf.Subject, leaf.DNSNames)
			}
			if got.KID.Version() != got.ID.Version() || got.SID.Version() != got.ID.Version() ||
				*got.Policy.LifetimeActions[0].Action.ActionType != "AutoRenew" ||
				*got.Policy.KeyProperties.KeyType != kty ||
				!*got.Policy.KeyProperties.Exportable {
				t.Errorf("%s: %v", name, got.Policy)
			}
			w.signsAs(name, leaf)

			secret := w.secret(name, got.ID.Version())
			if *secret.ContentType != contentType || !*secret.Managed || string(*secret.KID) != string(*got.KID) {
				t.Errorf("%s: the secret is %s, managed %v", name, *secret.ContentType, *secret.Managed)
			}
			if private, of := open(t, *secret.Value, contentType); !of[0].Equal(leaf) ||
				!private.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(leaf.PublicKey) {
				t.Errorf("%s: the secret has another certificate, or another key", name)
			}
		}
	}
}

// open decodes the secret of a certificate.
func open(t *testing.T, value, contentType string) (crypto.Signer, []*x509.Certificate) {
	t.Helper()
	if contentType == "application/x-pkcs12" {
		der, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		private, leaf, above, err := pkcs12.DecodeChain(der, "")
		if err != nil {
			t.Fatal(err)
		}
		return private.(crypto.Signer), append([]*x509.Certificate{leaf}, above...)
	}
	var private crypto.Signer
	var chain []*x509.Certificate
	for rest := []byte(value); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return private, chain
		}
		if block.Type == "CERTIFICATE" {
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, certificate)
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		private = key.(crypto.Signer)
	}
}

// authority is a certificate authority that the vault does not know.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "CA"},
		NotAfter:              time.Now().Add(9 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert}
}

func (a *authority) issue(t *testing.T, public crypto.PublicKey) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "web.example"},
		DNSNames:     []string{"web.example"},
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCertificate_OfUnknownIssuerIsMerged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certificates := w.certificates(w.admin)
	made := w.create("web", "Unknown", nil)
	if *made.Status != "inProgress" || !strings.Contains(*made.StatusDetails, "Merge") {
		t.Errorf("%s: %s", *made.Status, *made.StatusDetails)
	}
	_, err := certificates.CreateCertificate(t.Context(), "web", ofIssuer("Self", nil), nil)
	w.refused("another creation", err, http.StatusConflict, "Forbidden")
	if before := w.certificate("web"); before.SID != nil || len(before.CER) > 0 || before.KID == nil {
		t.Error("there is a certificate already")
	}
	_, err = w.secrets(w.admin).GetSecret(t.Context(), "web", "", nil)
	w.refused("its secret", err, http.StatusNotFound, "SecretNotFound")
	listed := func(pending bool) int {
		page, err := certificates.NewListCertificatePropertiesPager(&azcertificates.ListCertificatePropertiesOptions{IncludePending: &pending}).
			NextPage(t.Context())
		w.must(err)
		return len(page.Value)
	}
	if listed(false) != 0 || listed(true) != 1 {
		t.Error("it is listed, or not where what is pending is asked for")
	}

	ca := newAuthority(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	merge := func(chain ...[]byte) (azcertificates.MergeCertificateResponse, error) {
		return certificates.MergeCertificate(t.Context(), "web",
			azcertificates.MergeCertificateParameters{X509Certificates: chain}, nil)
	}
	for name, chain := range map[string][][]byte{"nothing": {}, "a text": {[]byte("text")}, "another key's": {ca.issue(t, other.Public())}} {
		_, err := merge(chain...)
		w.refused(name, err, http.StatusBadRequest, "BadParameter")
	}
	request, err := x509.ParseCertificateRequest(made.CSR)
	w.must(err)
	der := ca.issue(t, request.PublicKey)
	// The chain may have any order, and PEM, as authorities send it.
	merged, err := merge(ca.cert.Raw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	w.must(err)
	if string(merged.CER) != string(der) || !*merged.Attributes.Enabled {
		t.Error("it has become another certificate")
	}
	private, chain := open(t, *w.secret("web", "").Value, "application/x-pkcs12")
	if len(chain) != 2 || chain[0].CheckSignatureFrom(ca.cert) != nil ||
		!private.Public().(*ecdsa.PublicKey).Equal(request.PublicKey) {
		t.Errorf("the secret has %d certificates", len(chain))
	}
	w.signsAs("web", chain[0])
	done, err := certificates.GetCertificateOperation(t.Context(), "web", nil)
	w.must(err)
	if *done.Status != "completed" {
		t.Error(*done.Status)
	}
	_, err = merge(der)
	w.refused("a second time", err, http.StatusNotFound, "PendingCertificateNotFound")

	// While the next version is pending, the first is available. The policy decides whether the key is reused.
	again := w.create("web", "Unknown",
		func(p *azcertificates.CertificatePolicy) { p.KeyProperties.ReuseKey = to.Ptr(true) })
	next, err := x509.ParseCertificateRequest(again.CSR)
	w.must(err)
	if now := w.certificate("web"); string(now.CER) != string(der) ||
		!private.Public().(*ecdsa.PublicKey).Equal(next.PublicKey) {
		t.Error("the certificate is gone, or its key not kept")
	}
	if got := w.json(w.admin, http.MethodGet, "certificates/web/pending", ""); got != "200" {
		t.Error(got)
	}
}

func TestCertificate_CreationIsCancelledAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certificates := w.certificates(w.admin)
	_, err := certificates.GetCertificateOperation(t.Context(), "web", nil)
	w.refused("none", err, http.StatusNotFound, "PendingCertificateNotFound")
	w.create("web", "Unknown", nil)
	cancel := azcertificates.UpdateCertificateOperationParameter{CancellationRequested: to.Ptr(true)}
	asked, err := certificates.UpdateCertificateOperation(t.Context(), "web", cancel, nil)
	w.must(err)
	after, err := certificates.GetCertificateOperation(t.Context(), "web", nil)
	w.must(err)
	if *asked.Status != "inProgress" || !*asked.CancellationRequested || *after.Status != "cancelled" {
		t.Errorf("%s, then %s", *asked.Status, *after.Status)
	}
	_, err = certificates.UpdateCertificateOperation(t.Context(), "web", cancel, nil)
	w.refused("cancelled again", err, http.StatusBadRequest, "BadParameter")
	_, err = certificates.DeleteCertificateOperation(t.Context(), "web", nil)
	w.must(err)
	_, err = certificates.GetCertificate(t.Context(), "web", "", nil)
	w.refused("then", err, http.StatusNotFound, "CertificateNotFound")
	_, err = w.keys(w.admin).GetKey(t.Context(), "web", "", nil)
	w.refused("its key", err, http.StatusNotFound, "KeyNotFound")

	w.create("web", "Self", nil)
	if _, err := certificates.DeleteCertificateOperation(t.Context(), "web", nil); err != nil ||
		w.certificate("web").SID == nil {
		t.Errorf("with the creation, the certificate: %v", err)
	}
}

func TestCertificate_PolicyIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certificates := w.certificates(w.admin)
	for name, test := range map[string]struct {
		issuer string
		change func(*azcertificates.CertificatePolicy)
		status int
		code   string
	}{
		"an authority": {"digicert", nil, 501, "NotImplemented"},
		"no subject": {
			"Self", func(p *azcertificates.CertificatePolicy) { p.X509CertificateProperties = nil }, 400, "BadParameter",
		},
		"a text as subject": {
			"Self",
			func(p *azcertificates.CertificatePolicy) { p.X509CertificateProperties.Subject = to.Ptr("web") },
			400,
			"BadParameter",
		},
		"an odd usage": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.X509CertificateProperties.KeyUsage = []*azcertificates.KeyUsageType{to.Ptr(azcertificates.KeyUsageType("all"))}
		}, 400, "BadParameter"},
		"an odd purpose": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.X509CertificateProperties.EnhancedKeyUsage = []*string{to.Ptr("tls")}
		}, 400, "BadParameter"},
		"no month": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.X509CertificateProperties.ValidityInMonths = to.Ptr[int32](0)
		}, 400, "BadParameter"},
		"an odd size": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.KeyProperties = &azcertificates.KeyProperties{KeySize: to.Ptr[int32](1024)}
		}, 400, "BadParameter"},
		"an odd type": {
			"Self",
			func(p *azcertificates.CertificatePolicy) { p.KeyProperties.KeyType = to.Ptr(azcertificates.KeyTypeOct) },
			400,
			"BadParameter",
		},
		"hardware": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.KeyProperties.KeyType = to.Ptr(azcertificates.KeyTypeRSAHSM)
		}, 400, "BadParameter"},
		"a curve not here": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.KeyProperties.Curve = to.Ptr(azcertificates.CurveNameP256K)
		}, 501, "NotImplemented"},
		"an odd form": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.SecretProperties = &azcertificates.SecretProperties{ContentType: to.Ptr("text/plain")}
		}, 400, "BadParameter"},
		"renewed by nobody": {"Unknown", func(p *azcertificates.CertificatePolicy) {
			p.LifetimeActions = []*azcertificates.LifetimeAction{
				{
					Action:  &azcertificates.LifetimeActionType{ActionType: to.Ptr(azcertificates.CertificatePolicyActionAutoRenew)},
					Trigger: &azcertificates.LifetimeActionTrigger{LifetimePercentage: to.Ptr[int32](80)},
				},
			}
		}, 400, "BadParameter"},
		"after its end": {"Self", func(p *azcertificates.CertificatePolicy) {
			p.LifetimeActions = []*azcertificates.LifetimeAction{
				{
					Action:  &azcertificates.LifetimeActionType{ActionType: to.Ptr(azcertificates.CertificatePolicyActionAutoRenew)},
					Trigger: &azcertificates.LifetimeActionTrigger{LifetimePercentage: to.Ptr[int32](100)},
				},
			}
		}, 400, "BadParameter"},
	} {
		_, err := certificates.CreateCertificate(t.Context(), "refused", ofIssuer(test.issuer, test.change), nil)
		w.refused(name, err, test.status, test.code)
	}
	_, err := certificates.CreateCertificate(t.Context(), "refused", azcertificates.CreateCertificateParameters{}, nil)
	w.refused("no policy", err, http.StatusBadRequest, "BadParameter")
	w.must(w.set("taken", "v"))
	_, err = certificates.CreateCertificate(t.Context(), "taken", ofIssuer("Self", nil), nil)
	w.refused("the name of a secret", err, http.StatusNotImplemented, "NotImplemented")
}

func TestCertificate_IsUpdatedAndListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certificates := w.certificates(w.admin)
	for range 3 {
		w.create("web", "Self", nil)
	}
	var versions []string
	for pager := certificates.NewListCertificatePropertiesVersionsPager("web", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		w.must(err)
		for _, one := range page.Value {
			versions = append(versions, one.ID.Version())
		}
	}
	if len(versions) != 3 || w.certificate("web").ID.Version() != versions[2] {
		t.Fatalf("versions %v", versions)
	}
	first := w.secret("web", versions[0])
	if first.ID.Version() != versions[0] || *first.Value == *w.secret("web", "").Value {
		t.Error("the secret of the first version is another one's")
	}
	off, err := certificates.UpdateCertificate(t.Context(), "web", versions[0], azcertificates.UpdateCertificateParameters{
		CertificateAttributes: &azcertificates.CertificateAttributes{
			Enabled: to.Ptr(false),
		},
		Tags: map[string]*string{"a": to.Ptr("b")},
	}, nil)
	w.must(err)
	if *off.Attributes.Enabled || *off.Tags["a"] != "b" {
		t.Error("it is not updated")
	}
	_, err = w.secrets(w.admin).GetSecret(t.Context(), "web", versions[0], nil)
	w.refused("the secret of a disabled version", err, http.StatusForbidden, "SecretDisabled")
	_, err = w.keys(w.admin).GetKey(t.Context(), "web", versions[0], nil)
	w.refused("its key", err, http.StatusForbidden, "KeyDisabled")
	if _, err := certificates.GetCertificate(t.Context(), "web", versions[0], nil); err != nil { // public
		t.Error(err)
	}

	policy, err := certificates.UpdateCertificatePolicy(t.Context(), "web", azcertificates.CertificatePolicy{
		SecretProperties: &azcertificates.SecretProperties{ContentType: to.Ptr("application/x-pem-file")},
	}, nil)
	w.must(err)
	shown, err := certificates.GetCertificatePolicy(t.Context(), "web", nil)
	w.must(err)
	if *policy.SecretProperties.ContentType != "application/x-pem-file" ||
		*shown.X509CertificateProperties.Subject != `CN=web.example, O="One, Two", C=US` ||
		*shown.SecretProperties.ContentType != "application/x-pem-file" {
		t.Error("the policy is another one")
	}
	// A creation without a policy uses the existing one.
	_, err = certificates.CreateCertificate(t.Context(), "web", azcertificates.CreateCertificateParameters{}, nil)
	w.must(err)
	if *w.secret("web", "").ContentType != "application/x-pem-file" {
		t.Error("the policy was not followed")
	}
}

func TestCertificate_IsImported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certificates := w.certificates(w.admin)
	ca := newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	leaf, err := x509.ParseCertificate(ca.issue(t, key.Public()))
	w.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	w.must(err)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	inPEM := block("CERTIFICATE", ca.cert.Raw) + block("PRIVATE KEY", private) + block("CERTIFICATE", leaf.Raw)
	bundle := func(encoder *pkcs12.Encoder, password string) string {
		der, err := encoder.Encode(key, leaf, []*x509.Certificate{ca.cert}, password)
		w.must(err)
		return base64.StdEncoding.EncodeToString(der)
	}
	asPEM := &azcertificates.CertificatePolicy{
		SecretProperties: &azcertificates.SecretProperties{ContentType: to.Ptr("application/x-pem-file")},
	}
	kept := &azcertificates.CertificatePolicy{KeyProperties: &azcertificates.KeyProperties{Exportable: to.Ptr(false)}}
	for name, given := range map[string]azcertificates.ImportCertificateParameters{
		"pfx": {
			Base64EncodedCertificate: to.Ptr(bundle(pkcs12.LegacyDES, "")), Tags: map[string]*string{"a": to.Ptr("b")},
		},
		"password": {
			Base64EncodedCertificate: to.Ptr(bundle(pkcs12.Modern, "the password")), Password: to.Ptr("the password"),
		},
		"pem": {Base64EncodedCertificate: &inPEM, CertificatePolicy: asPEM},
	} {
		made, err := certificates.ImportCertificate(t.Context(), name, given, nil)
		w.must(err)
		if string(made.CER) != string(leaf.Raw) || *made.Policy.IssuerParameters.Name != "Unknown" ||
			*made.Policy.KeyProperties.KeyType != "EC" ||
			made.Attributes.Expires.Unix() != leaf.NotAfter.Unix() ||
			len(made.Tags) != len(given.Tags) {
			t.Errorf("%s: it is another certificate", name)
		}
		w.signsAs(name, leaf)
		secret := w.secret(name, made.ID.Version())
		if got, chain := open(t, *secret.Value, *secret.ContentType); !key.Equal(got) || len(chain) != 2 ||
			!chain[0].Equal(leaf) {
			t.Errorf("%s: the secret has another key, or %d certificates", name, len(chain))
		}
	}
	// The secret of a non-exportable key has only the certificates.
	_, err = certificates.ImportCertificate(t.Context(), "kept", azcertificates.ImportCertificateParameters{
		Base64EncodedCertificate: to.Ptr(bundle(pkcs12.LegacyDES, "")), CertificatePolicy: kept,
	}, nil)
	w.must(err)
	w.signsAs("kept", leaf)
	der, err := base64.StdEncoding.DecodeString(*w.secret("kept", "").Value)
	w.must(err)
	if chain, err := pkcs12.DecodeTrustStore(der, ""); err != nil || len(chain) != 2 {
		t.Errorf("kept: %d certificates, %v", len(chain), err)
	}
	if _, _, err := pkcs12.Decode(der, ""); err == nil {
		t.Error("the key is exported")
	}

	for name, given := range map[string]azcertificates.ImportCertificateParameters{
		"another password": {
			Base64EncodedCertificate: to.Ptr(bundle(pkcs12.Modern, "the password")), Password: to.Ptr("another"),
		},
		"no password":    {Base64EncodedCertificate: to.Ptr(bundle(pkcs12.LegacyDES, "the password"))},
		"a text":         {Base64EncodedCertificate: to.Ptr("text")},
		"PEM as PFX":     {Base64EncodedCertificate: &inPEM},
		"no key":         {Base64EncodedCertificate: to.Ptr(block("CERTIFICATE", leaf.Raw)), CertificatePolicy: asPEM},
		"no certificate": {Base64EncodedCertificate: to.Ptr(block("PRIVATE KEY", private)), CertificatePolicy: asPEM},
		"another's": {
			Base64EncodedCertificate: to.Ptr(block("PRIVATE KEY", private) + block("CERTIFICATE", ca.cert.Raw)),
			CertificatePolicy:        asPEM,
		},
		"an odd form": {
			Base64EncodedCertificate: &inPEM,
			CertificatePolicy: &azcertificates.CertificatePolicy{
				SecretProperties: &azcertificates.SecretProperties{ContentType: to.Ptr("text/plain")},
			},
		},
	} {
		_, err := certificates.ImportCertificate(t.Context(), "refused", given, nil)
		w.refused(name, err, http.StatusBadRequest, "BadParameter")
	}
	// A password with many iterations would block other requests.
	parameters, err := asn1.Marshal(struct {
		Salt   []byte
		Rounds int
	}{[]byte("salt"), 1_000_001})
	w.must(err)
	within, err := asn1.Marshal([]asn1.RawValue{{Tag: asn1.TagOctetString, Bytes: parameters}})
	w.must(err)
	_, err = certificates.ImportCertificate(t.Context(), "refused", azcertificates.ImportCertificateParameters{
		Base64EncodedCertificate: to.Ptr(base64.StdEncoding.EncodeToString(within)),
	}, nil)
	w.refused("many rounds", err, http.StatusNotImplemented, "NotImplemented")
	huge := block("PRIVATE KEY", make([]byte, 9<<10)) + block("CERTIFICATE", leaf.Raw)
	_, err = certificates.ImportCertificate(t.Context(), "refused", azcertificates.ImportCertificateParameters{
		Base64EncodedCertificate: &huge, CertificatePolicy: asPEM,
	}, nil)
	w.refused("a huge key", err, http.StatusNotImplemented, "NotImplemented")
	// A secret with a certificate is not a certificate.
	_, err = w.secrets(w.admin).
		SetSecret(t.Context(), "secret", azsecrets.SetSecretParameters{Value: &inPEM, ContentType: to.Ptr("application/x-pem-file")}, nil)
	w.must(err)
	_, err = certificates.GetCertificate(t.Context(), "secret", "", nil)
	w.refused("a secret", err, http.StatusNotFound, "CertificateNotFound")
}

// TestCertificate_OwnsSecretAndKey creates, deletes and recovers a certificate with its secret and key.
func TestCertificate_OwnsSecretAndKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certificates := w.certificates(w.admin)
	w.create("web", "Self", nil)
	value := *w.secret("web", "").Value
	for request, want := range map[string]string{
		"PUT /secrets/web":         "403 SecretManagedByKeyVault",
		"DELETE /secrets/web":      "403 SecretManagedByKeyVault",
		"DELETE /keys/web":         "403 KeyManagedByKeyVault",
		"POST /keys/web/create":    "403 KeyManagedByKeyVault",
		"PATCH /secrets/web/":      "501 NotImplemented",
		"POST /secrets/web/backup": "501 NotImplemented",
		"POST /keys/web/rotate":    "501 NotImplemented", "PUT /keys/web/rotationpolicy": "501 NotImplemented",
	} {
		method, path, _ := cut(request)
		body := map[string]string{"PUT /secrets/web": `{"value": "v"}`, "POST /keys/web/create": `{"kty": "EC"}`}[request]
		if body == "" {
			body = "{}"
		}
		if got := w.json(w.admin, method, path, body); got != want {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
	there := func(want string) {
		t.Helper()
		for path, deleted := range map[string]string{"secrets/web": "deletedsecrets/web", "keys/web": "deletedkeys/web", "certificates/web": "deletedcertificates/web"} {
			got := w.json(w.admin, http.MethodGet, path, "")[:3] + " " + w.json(w.admin, http.MethodGet, deleted, "")[:3]
			if got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
	}
	there("200 404")
	gone, err := certificates.DeleteCertificate(t.Context(), "web", nil)
	w.must(err)
	if gone.RecoveryID == nil || *gone.RecoveryID != uri+"deletedcertificates/web" || gone.ScheduledPurgeDate == nil ||
		gone.Policy == nil {
		t.Errorf("%v", gone.RecoveryID)
	}
	there("404 200")
	for request, want := range map[string]string{
		"POST /deletedsecrets/web/recover": "403 SecretManagedByKeyVault",
		"DELETE /deletedkeys/web":          "403 KeyManagedByKeyVault",
		"PUT /secrets/web":                 "409 ObjectIsDeletedButRecoverable",
		"POST /certificates/web/create":    "409 ObjectIsDeletedButRecoverable",
	} {
		method, path, _ := cut(request)
		body := map[string]string{"PUT /secrets/web": `{"value": "v"}`}[request]
		if body == "" {
			body = "{}"
		}
		if got := w.json(w.admin, method, path, body); got != want {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
	page, err := certificates.NewListDeletedCertificatePropertiesPager(nil).NextPage(t.Context())
	w.must(err)
	if len(page.Value) != 1 || page.Value[0].DeletedDate == nil {
		t.Errorf("%d are deleted", len(page.Value))
	}
	_, err = certificates.RecoverDeletedCertificate(t.Context(), "web", nil)
	w.must(err)
	there("200 404")
	if *w.secret("web", "").Value != value {
		t.Error("it came back otherwise")
	}
	_, err = certificates.DeleteCertificate(t.Context(), "web", nil)
	w.must(err)
	_, err = certificates.PurgeDeletedCertificate(t.Context(), "web", nil)
	w.must(err)
	there("404 404")
	w.must(w.set("web", "the name is free"))
}

// TestPurge_FailsWithPurgeProtection tries all callers.
func TestPurge_FailsWithPurgeProtection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault("kv-one", func(v *keyvault.Vault) { v.NoPurge = true })
	w.must(w.set("s", "v"))
	_, err := w.keys(w.admin).CreateKey(t.Context(), "k", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeEC)}, nil)
	w.must(err)
	w.create("c", "Self", nil)
	for path, deleted := range map[string]string{"secrets/s": "deletedsecrets/s", "keys/k": "deletedkeys/k", "certificates/c": "deletedcertificates/c"} {
		for _, step := range [][2]string{{"DELETE " + path, "200"}, {"DELETE " + deleted, "403 Forbidden"}, {"GET " + deleted, "200"}, {"POST " + deleted + "/recover", "200"}, {"GET " + path, "200"}} {
			method, at, _ := cut(step[0])
			if got := w.json(w.admin, method, at, ""); got != step[1] {
				t.Errorf("%s: %s, want %s", step[0], got, step[1])
			}
		}
	}
}

// TestCertificate_PrivateKeyRequiresSecretsRole tries to read it with every other permission.
func TestCertificate_PrivateKeyRequiresSecretsRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("web", "Self", nil)
	version := w.certificate("web").ID.Version()
	for name, test := range map[string]struct {
		roles []string
		reads bool
	}{
		"nobody": {nil, false}, "a reader": {[]string{reader}, false}, "an officer of certificates and keys": {
			[]string{certificatesOfficer, cryptoOfficer, cryptoUser, reader}, false,
		},
		"a user of secrets": {[]string{secretsUser}, true}, "a user of the certificate": {[]string{certificateUser}, true},
	} {
		who := w.as(test.roles...)
		for _, path := range []string{"/secrets/web", "/secrets/web/", "/secrets/web/" + version, "//secrets//web", "/SECRETS/web"} {
			got := w.json(who, http.MethodGet, path, "")
			if want := map[bool]string{true: "200", false: "403 ForbiddenByRbac"}[test.reads]; got != want &&
				path != "/SECRETS/web" ||
				got == "200" && !test.reads {
				t.Errorf("%s, %s: %s", name, path, got)
			}
		}
	}
	// Officers of certificates and keys never see the private half, even after a deletion or in a backup.
	officer := w.as(certificatesOfficer, cryptoOfficer, reader)
	private, _ := open(t, *w.secret("web", "").Value, "application/x-pkcs12")
	scalar, err := private.(*ecdsa.PrivateKey).Bytes()
	w.must(err)
	look := func(method, path string) {
		t.Helper()
		status, body := w.text(officer, method, path)
		for _, encoding := range []string{base64.StdEncoding.EncodeToString(scalar), base64.RawURLEncoding.EncodeToString(scalar), base64.RawURLEncoding.EncodeToString(scalar)[2:40]} {
			if strings.Contains(body, encoding) {
				t.Errorf("%s %s shows it", method, path)
			}
		}
		if strings.Contains(body, `"value":"MI`) || status != http.StatusOK {
			t.Errorf("%s %s: %d", method, path, status)
		}
	}
	look(http.MethodGet, "/certificates/web")
	look(http.MethodGet, "/keys/web")
	look(http.MethodGet, "/secrets")
	look(http.MethodPost, "/certificates/web/backup")
	look(http.MethodDelete, "/certificates/web")
	look(http.MethodGet, "/deletedcertificates/web")
	look(http.MethodGet, "/deletedkeys/web")
	look(http.MethodGet, "/deletedsecrets")
}
