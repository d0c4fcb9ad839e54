package keyvault

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Content types of a certificate's secret, which includes the private key.
const (
	pemType    = "application/x-pem-file"
	pkcs12Type = "application/x-pkcs12"
)

// Pending is the creation of a version of a certificate
// (learn.microsoft.com/azure/key-vault/certificates/create-certificate-scenarios).
type Pending struct {
	RequestID string
	Issuer    string
	Status    string
	CSR       []byte
	Cancelled bool    // cancellation was requested
	Version   Version // version to be created, without the certificate
}

// States of a creation.
const (
	inProgress = "inProgress"
	completed  = "completed"
	cancelled  = "cancelled"
)

// companion returns the secret or the key of a certificate. Its versions have the same IDs
// (learn.microsoft.com/azure/key-vault/certificates/about-certificates#composition-of-a-certificate). The secret exists
// only once the certificate does.
func (o Object) companion(kind Kind) (Object, bool) {
	with := Object{Vault: o.Vault, Kind: kind, Name: o.Name, Deleted: o.Deleted, Managed: true}
	versions := o.Versions
	if len(versions) == 0 && kind == Key && o.Pending != nil {
		versions = []Version{o.Pending.Version}
	}
	for _, v := range versions {
		of := Version{ID: v.ID, Attributes: v.Attributes, Tags: v.Tags, Created: v.Created, Updated: v.Updated}
		if kind == Key {
			of.Key = v.Key
		} else {
			of.Value, of.ContentType = v.Value, v.ContentType
		}
		with.Versions = append(with.Versions, of)
	}
	return with, len(versions) > 0
}

// certificateForWriting returns the certificate that gets a new version, or a new one.
func certificateForWriting(tx *store.Tx, v Vault, name string) (Object, error) {
	o, err := forWriting(tx, v, Certificate, name, "create")
	if err != nil {
		return o, err
	}
	if o.Pending != nil && o.Pending.Status == inProgress {
		return o, &Error{
			Status: http.StatusConflict,
			Code:   "Forbidden",
			Message: "A new key vault certificate can not be created or " +
				"imported while a pending key vault certificate's status is inProgress.",
		}
	}
	for _, kind := range []Kind{Secret, Key} {
		other, ok, err := store.Get[Object](tx, objects, Object{Vault: v.Name, Kind: kind, Name: name}.key())
		switch {
		case err != nil:
			return o, err
		case ok && other.Deleted != nil:
			return o, isDeleted(kind, name)
		case ok:
			return o, notImplemented("a certificate with the name of a " + string(kind) + " that is there")
		}
	}
	return o, nil
}

func (c *call) createCertificate() (any, error) {
	var body struct {
		Policy     *CertificatePolicy `json:"policy"`
		Attributes Attributes         `json:"attributes"`
		Tags       map[string]string  `json:"tags"`
		Ordered    *bool              `json:"preserveCertOrder"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, err := certificateForWriting(c.tx, c.vault, c.name)
	if err != nil {
		return nil, err
	}
	if body.Ordered != nil && *body.Ordered {
		return nil, notImplemented("preserveCertOrder")
	}
	if body.Policy == nil {
		body.Policy = o.Policy
	}
	if body.Policy == nil {
		return nil, badParameter("The parameter policy is required for a new certificate")
	}
	policy, err := body.Policy.complete(c.vault)
	if err != nil {
		return nil, err
	}
	if err := check(Attributes{}, body.Tags); err != nil {
		return nil, err
	}
	request, err := policy.request()
	if err != nil {
		return nil, err
	}
	version := newVersion(Attributes{Enabled: body.Attributes.Enabled}, body.Tags)
	version.ContentType = policy.Secret.ContentType
	if policy.Key.ReuseKey && len(o.Versions) > 0 {
		version.Key = o.Latest().Key
	} else if version.Key, err = newKey(c.vault, KeySpec{
		Type: policy.Key.Type, Size: policy.keySize(), Curve: policy.Key.Curve, Operations: policy.operations(),
	}); err != nil {
		return nil, err
	}
	private, err := version.Key.private()
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, private)
	if err != nil {
		return nil, badParameter("The policy has no certificate request: %v", err)
	}
	policy.touch(o.Policy)
	o.Policy = policy
	o.Pending = &Pending{
		RequestID: newVersion(Attributes{}, nil).ID,
		Issuer:    policy.Issuer.Name,
		Status:    inProgress,
		CSR:       csr,
		Version:   version,
	}
	// Even with the issuer Self, the first response is a pending creation.
	answer := c.vault.pendingBundle(o)
	if policy.Issuer.Name == selfIssuer {
		der, err := policy.sign(private)
		if err != nil {
			return nil, err
		}
		if o, err = o.completed([][]byte{der}); err != nil {
			return nil, err
		}
	}
	return reply{http.StatusAccepted, c.vault.id(Certificate, o.Name, "pending") + "?api-version=" +
		c.request.URL.Query().Get("api-version") + "&request_id=" + o.Pending.RequestID, answer}, put(c.tx, o)
}

// completed returns the certificate with the pending version added.
func (o Object) completed(chain [][]byte) (Object, error) {
	version := o.Pending.Version
	var err error
	if version, err = version.certified(chain, o.Policy.exportable()); err != nil {
		return o, err
	}
	o.Versions = append(slices.Clip(o.Versions), version)
	done := *o.Pending
	done.Status, done.Version = completed, Version{}
	o.Pending = &done
	return o, nil
}

// certified returns the version with a certificate, its times and its secret.
func (v Version) certified(chain [][]byte, exportable bool) (Version, error) {
	var certificates []*x509.Certificate
	for _, der := range chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return v, badParameter("The specified X.509 certificate content can not be read.")
		}
		certificates = append(certificates, certificate)
	}
	private, err := v.Key.private()
	if err != nil {
		return v, err
	}
	leaf := certificates[0]
	if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(private.Public()) {
		return v, badParameter(
			"The public key of the end-entity certificate in the specified X.509 certificate content does not match the " +
				"public part of the specified private key. Please check if certificate is valid.",
		)
	}
	from, to, now := leaf.NotBefore.Unix(), leaf.NotAfter.Unix(), time.Now().Unix()
	v.Attributes.NotBefore, v.Attributes.Expires, v.Chain = &from, &to, chain
	v.Created, v.Updated = now, now
	v.Value, err = secretOf(private, certificates, v.ContentType, exportable)
	if err == nil && len(v.Value) > maxSecret {
		err = badParameter("The secret of the certificate exceeds the maximum size of %d bytes", maxSecret)
	}
	return v, err
}

// secretOf encodes a certificate and, if it is exportable, its private key.
func secretOf(private crypto.Signer, chain []*x509.Certificate, contentType string, exportable bool) (string, error) {
	if contentType == pemType {
		var text strings.Builder
		if exportable {
			der, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				return "", err
			}
			_ = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: der}) // writes to a Builder never fail
		}
		for _, certificate := range chain {
			_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
		}
		return text.String(), nil
	}
	var content []byte
	var err error
	if exportable {
		content, err = pkcs12.LegacyDES.Encode(private, chain[0], chain[1:], "")
	} else {
		content, err = pkcs12.LegacyDES.EncodeTrustStore(chain, "")
	}
	if err != nil {
		return "", fmt.Errorf("writing PKCS #12: %w", err)
	}
	return base64.StdEncoding.EncodeToString(content), nil
}

func (c *call) importCertificate() (any, error) {
	var body CertificateImport
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, err := ImportCertificate(c.tx, c.vault, c.name, body)
	if err != nil {
		return nil, err
	}
	return c.vault.certificateBundle(o, o.Latest()), nil
}

// CertificateImport is the request to import a certificate, in the words of Key Vault's REST API
// (learn.microsoft.com/rest/api/keyvault/certificates/import-certificate/import-certificate).
type CertificateImport struct {
	Value      string             `json:"value"` // PKCS #12 in base64, or PEM if the policy's content type says so
	Password   string             `json:"pwd"`   // of PKCS #12
	Policy     *CertificatePolicy `json:"policy"`
	Attributes Attributes         `json:"attributes"`
	Tags       map[string]string  `json:"tags"`
	Ordered    *bool              `json:"preserveCertOrder"`
}

// ImportCertificate adds a version to a certificate, which it creates if it does not exist.
func ImportCertificate(tx *store.Tx, v Vault, name string, body CertificateImport) (Object, error) {
	o, err := certificateForWriting(tx, v, name)
	if err != nil {
		return o, err
	}
	if err := check(Attributes{}, body.Tags); err != nil {
		return o, err
	}
	if body.Ordered != nil && *body.Ordered {
		return o, notImplemented("preserveCertOrder")
	}
	given := cmp.Or(body.Policy, &CertificatePolicy{})
	contentType := pkcs12Type
	if given.Secret != nil && given.Secret.ContentType != "" {
		contentType = given.Secret.ContentType
	}
	var private crypto.PrivateKey
	var chain []*x509.Certificate
	switch contentType {
	case pemType:
		private, chain, err = readPEM(body.Value)
	case pkcs12Type:
		private, chain, err = readPKCS12(body.Value, body.Password)
	default:
		err = badContentType(contentType)
	}
	if err != nil {
		return o, err
	}
	policy, err := given.of(chain[0], private, contentType)
	if err != nil {
		return o, err
	}
	version := newVersion(Attributes{Enabled: body.Attributes.Enabled}, body.Tags)
	version.ContentType = contentType
	if version.Key, err = material(private, policy.Key.Type, policy.operations()); err != nil {
		return o, err
	}
	var ders [][]byte
	for _, certificate := range chain {
		ders = append(ders, certificate.Raw)
	}
	if version, err = version.certified(ders, policy.exportable()); err != nil {
		return o, err
	}
	policy.touch(o.Policy)
	o.Policy, o.Pending = policy, nil
	o.Versions = append(o.Versions, version)
	return o, put(tx, o)
}

// readPEM reads an unencrypted private key and certificates. The first certificate belongs to the key.
func readPEM(content string) (crypto.PrivateKey, []*x509.Certificate, error) {
	invalid := badParameter(
		"The specified PEM X.509 certificate content is in an unexpected format. Please check if certificate is in " +
			"valid PEM format.",
	)
	var private crypto.PrivateKey
	var chain []*x509.Certificate
	for rest := []byte(content); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var err error
		switch block.Type {
		case "CERTIFICATE":
			var certificate *x509.Certificate
			certificate, err = x509.ParseCertificate(block.Bytes)
			chain = append(chain, certificate)
		case "PRIVATE KEY":
			if len(block.Bytes) > maxKeyLength {
				return nil, nil, notImplemented(fmt.Sprintf("PEM with a private key of more than %d bytes", maxKeyLength))
			}
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			kind := strings.ToLower(block.Type)
			return nil, nil, notImplemented("PEM with a " + kind + ": want an unencrypted private key in PKCS #8")
		}
		if err != nil {
			return nil, nil, invalid
		}
	}
	if private == nil || len(chain) == 0 {
		return nil, nil, invalid
	}
	return private, leafFirst(private, chain), nil
}

func readPKCS12(content, password string) (crypto.PrivateKey, []*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(content)
	if err == nil && rounds(der, 0) > maxRounds {
		return nil, nil, notImplemented(fmt.Sprintf("PKCS #12 with keys derived in more than %d rounds", maxRounds))
	}
	if err == nil {
		var private any
		var leaf *x509.Certificate
		var above []*x509.Certificate
		if private, leaf, above, err = decodePKCS12(der, password); err == nil {
			return private, leafFirst(private, append([]*x509.Certificate{leaf}, above...)), nil
		}
	}
	return nil, nil, badParameter(
		"The specified PKCS#12 X.509 certificate content can not be read. Please check if certificate is in valid " +
			"PKCS#12 format.",
	)
}

// maxKeyLength limits the length of a private key in DER. An RSA key of 4096 bits has 2,400 bytes. The time to check a
// key grows with the cube of its length, and blocks other requests.
const maxKeyLength = 8 << 10

// maxRounds limits how often the password of PKCS #12 may be hashed, which takes seconds and blocks other requests.
const maxRounds = 1_000_000

// rounds returns the largest iteration count in the unencrypted parts of DER: an integer after a salt.
func rounds(der []byte, depth int) int {
	most, salted := 0, false
	for len(der) > 0 && depth < 50 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			break
		}
		if v.Class == asn1.ClassUniversal && v.Tag == asn1.TagInteger && salted {
			n := maxRounds + 1
			if _, err := asn1.Unmarshal(v.FullBytes, &n); err != nil {
				n = maxRounds + 1
			}
			most = max(most, n)
		}
		if salted = v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString; salted || v.IsCompound {
			most = max(most, rounds(v.Bytes, depth+1))
		}
		der = rest
	}
	return most
}

// decodePKCS12 turns panics of the decoder into errors.
func decodePKCS12(
	der []byte,
	password string,
) (private any, leaf *x509.Certificate, above []*x509.Certificate, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("reading PKCS #12: %v", fault)
		}
	}()
	return pkcs12.DecodeChain(der, password)
}

// leafFirst moves the certificate of a key before its issuers.
func leafFirst(private crypto.PrivateKey, chain []*x509.Certificate) []*x509.Certificate {
	signer, ok := private.(crypto.Signer)
	if !ok {
		return chain
	}
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
		public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return ok && public.Equal(signer.Public())
	})
	if i > 0 {
		leaf := chain[i]
		chain = append([]*x509.Certificate{leaf}, slices.Delete(chain, i, i+1)...)
	}
	return chain
}

// findCertificate returns the certificate and version that the request names. Without a version, it returns the latest
// or the pending one.
func (c *call) findCertificate() (Object, Version, error) {
	o, ok, err := Get(c.tx, c.vault, Certificate, c.name)
	if err != nil {
		return o, Version{}, err
	}
	if ok && c.version == "" {
		return o, o.Latest(), nil
	}
	if ok {
		if i, ok := o.version(c.version); ok {
			return o, o.Versions[i], nil
		}
		if o.Pending != nil && strings.EqualFold(o.Pending.Version.ID, c.version) {
			return o, o.Pending.Version, nil
		}
	}
	return o, Version{}, notFound(Certificate, c.name, c.version)
}

func (c *call) getCertificate() (any, error) {
	o, v, err := c.findCertificate()
	if err != nil {
		return nil, err
	}
	return c.vault.certificateBundle(o, v), nil
}

// listCertificates includes pending certificates only on request.
func (c *call) listCertificates() (any, error) {
	found, err := List(c.tx, c.vault, Certificate)
	if err != nil {
		return nil, err
	}
	items := []bundle{}
	for _, o := range found {
		if len(o.Versions) > 0 || strings.EqualFold(c.request.URL.Query().Get("includePending"), "true") {
			items = append(items, c.vault.certificateItem(o, o.Latest(), ""))
		}
	}
	return c.page(items)
}

func (c *call) listCertificateVersions() (any, error) {
	o, _, err := c.findCertificate()
	if err != nil {
		return nil, err
	}
	items := []bundle{}
	for _, v := range o.Versions {
		items = append(items, c.vault.certificateItem(o, v, v.ID))
	}
	return c.page(items)
}

// updateCertificate changes a version's attributes and tags, and the policy. The times come from the certificate.
func (c *call) updateCertificate() (any, error) {
	var body struct {
		Policy     *CertificatePolicy `json:"policy"`
		Attributes Attributes         `json:"attributes"`
		Tags       map[string]string  `json:"tags"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, _, err := c.findCertificate()
	if err != nil {
		return nil, err
	}
	i, ok := o.version(c.version)
	if !ok {
		return nil, notImplemented("updating a certificate that is not there yet")
	}
	if err := check(Attributes{}, body.Tags); err != nil {
		return nil, err
	}
	o.Versions[i].update(Attributes{Enabled: body.Attributes.Enabled})
	if body.Tags != nil {
		o.Versions[i].Tags = body.Tags
	}
	if body.Policy != nil {
		if o.Policy, err = o.Policy.changed(*body.Policy, c.vault); err != nil {
			return nil, err
		}
	}
	return c.vault.certificateBundle(o, o.Versions[i]), put(c.tx, o)
}

func (c *call) getPolicy() (any, error) {
	o, _, err := c.findCertificate()
	if err != nil {
		return nil, err
	}
	return c.vault.policyBundle(o), nil
}

func (c *call) updatePolicy() (any, error) {
	var body CertificatePolicy
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, _, err := c.findCertificate()
	if err != nil {
		return nil, err
	}
	if o.Policy, err = o.Policy.changed(body, c.vault); err != nil {
		return nil, err
	}
	return c.vault.policyBundle(o), put(c.tx, o)
}

// findPending returns a certificate and its last creation. A request may name a specific creation.
func (c *call) findPending() (Object, error) {
	o, ok, err := Get(c.tx, c.vault, Certificate, c.name)
	if err != nil {
		return o, err
	}
	id := c.request.URL.Query().Get("request_id")
	if !ok || o.Pending == nil || id != "" && !strings.EqualFold(id, o.Pending.RequestID) {
		return o, &Error{Status: http.StatusNotFound, Code: "PendingCertificateNotFound",
			Message: "Pending certificate not found: " + printable(c.name)}
	}
	pending := *o.Pending
	o.Pending = &pending
	return o, nil
}

func (c *call) getPending() (any, error) {
	o, err := c.findPending()
	if err != nil {
		return nil, err
	}
	return c.vault.pendingBundle(o), nil
}

// cancelPending requests the cancellation of a creation. As in Key Vault, the response has the state before the
// request.
func (c *call) cancelPending() (any, error) {
	var body struct {
		Cancel *bool `json:"cancellation_requested"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, err := c.findPending()
	if err != nil {
		return nil, err
	}
	if body.Cancel == nil || !*body.Cancel {
		return nil, badParameter("Property cancellation_requested has an invalid value: true is the only one")
	}
	if o.Pending.Status != inProgress {
		return nil, badParameter("The pending certificate's status is %s: it cannot be cancelled", o.Pending.Status)
	}
	o.Pending.Cancelled = true
	answer := c.vault.pendingBundle(o)
	o.Pending.Status = cancelled
	return answer, put(c.tx, o)
}

// deletePending deletes a creation, and the certificate if it has no version yet.
func (c *call) deletePending() (any, error) {
	o, err := c.findPending()
	if err != nil {
		return nil, err
	}
	answer := c.vault.pendingBundle(o)
	if o.Pending = nil; len(o.Versions) == 0 {
		return answer, store.Delete(c.tx, objects, o.key())
	}
	return answer, put(c.tx, o)
}

// mergeCertificate completes a creation with a certificate that another authority has issued for its key.
func (c *call) mergeCertificate() (any, error) {
	var body struct {
		Chain      [][]byte          `json:"x5c"`
		Attributes Attributes        `json:"attributes"`
		Tags       map[string]string `json:"tags"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, err := c.findPending()
	if err != nil {
		return nil, err
	}
	if o.Pending.Status == completed {
		return nil, &Error{Status: http.StatusNotFound, Code: "PendingCertificateNotFound",
			Message: "Pending certificate not found: " + printable(c.name)}
	}
	if len(body.Chain) == 0 {
		return nil, badParameter("Property x5c has invalid value\r\n\r\nX5C must have at least one valid item")
	}
	if err := check(Attributes{}, body.Tags); err != nil {
		return nil, err
	}
	o.Pending.Version.update(Attributes{Enabled: body.Attributes.Enabled})
	if body.Tags != nil {
		o.Pending.Version.Tags = body.Tags
	}
	chain, err := o.Pending.Version.chain(body.Chain)
	if err != nil {
		return nil, err
	}
	if o, err = o.completed(chain); err != nil {
		return nil, err
	}
	return reply{
		http.StatusCreated,
		c.vault.id(Certificate, o.Name, "") + "?api-version=" + c.request.URL.Query().Get("api-version"),
		c.vault.certificateBundle(o, o.Latest()),
	}, put(c.tx, o)
}

// chain moves the certificate of the version's key first. Clients send DER, or PEM as they got it from the authority.
func (v Version) chain(given [][]byte) ([][]byte, error) {
	var chain []*x509.Certificate
	for _, one := range given {
		if block, _ := pem.Decode(bytes.TrimSpace(one)); block != nil {
			one = block.Bytes
		}
		certificate, err := x509.ParseCertificate(one)
		if err != nil {
			return nil, badParameter("Property x5c has invalid value\r\n\r\nX5C must have at least one valid item")
		}
		chain = append(chain, certificate)
	}
	private, err := v.Key.private()
	if err != nil {
		return nil, err
	}
	var ders [][]byte
	for _, certificate := range leafFirst(private, chain) {
		ders = append(ders, certificate.Raw)
	}
	return ders, nil
}

// pendingBundle returns the last creation.
func (v Vault) pendingBundle(o Object) bundle {
	p := o.Pending
	b := bundle{
		"id":                     v.id(Certificate, o.Name, "pending"),
		"issuer":                 bundle{"name": p.Issuer},
		"csr":                    base64.StdEncoding.EncodeToString(p.CSR),
		"cancellation_requested": p.Cancelled,
		"status":                 p.Status,
		"request_id":             p.RequestID,
	}
	switch {
	case p.Status == completed:
		b["target"] = v.id(Certificate, o.Name, "")
	case p.Status == cancelled:
		b["status_details"] = "The creation of the certificate was cancelled."
	case p.Issuer == selfIssuer:
		b["status_details"] = "Pending certificate created. Certificate request is in progress. This may take some time " +
			"based on the issuer " +
			"provider. Please check again later."
	default:
		b["status_details"] = "Pending certificate created. Please Perform Merge to complete the request."
	}
	return b
}

func (m KeyMaterial) private() (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(m.PKCS8)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T signs nothing", parsed)
	}
	return signer, nil
}

// sign returns a self-signed certificate of a key, as the policy says.
func (p *CertificatePolicy) sign(private crypto.Signer) ([]byte, error) {
	template, err := p.template()
	if err != nil {
		return nil, err
	}
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	serial[0] = serial[0]&0x7f | 0x40
	template.SerialNumber = new(big.Int).SetBytes(serial)
	template.NotBefore = time.Now().UTC().Add(-10 * time.Minute).Truncate(time.Second)
	template.NotAfter = time.Now().UTC().AddDate(0, *p.X509.ValidityMonths, 0).Truncate(time.Second)
	if _, isRSA := private.(*rsa.PrivateKey); isRSA {
		template.SignatureAlgorithm = x509.SHA256WithRSA
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	template.SubjectKeyId = keyID(public)
	template.AuthorityKeyId = template.SubjectKeyId
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, badParameter("The policy has no certificate: %v", err)
	}
	return der, nil
}
