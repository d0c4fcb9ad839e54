package keyvault

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // key identifiers are SHA-1 sums by definition
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CertificatePolicy describes how versions of a certificate are created, in the words of Key Vault's REST API
// (learn.microsoft.com/rest/api/keyvault/certificates/create-certificate/create-certificate). Lifetime actions are
// stored and returned, but certificates are not renewed automatically here and no e-mail is sent.
type CertificatePolicy struct {
	ID              string            `json:"id,omitempty"` // sent back by clients, and ignored
	Key             *policyKey        `json:"key_props,omitempty"`
	Secret          *policySecret     `json:"secret_props,omitempty"`
	X509            *policyX509       `json:"x509_props,omitempty"`
	LifetimeActions []policyAction    `json:"lifetime_actions,omitempty"`
	Issuer          *policyIssuer     `json:"issuer,omitempty"`
	Attributes      *policyAttributes `json:"attributes,omitempty"`
}

type (
	policyKey struct {
		Exportable *bool  `json:"exportable,omitempty"` // defaults to true
		Type       string `json:"kty,omitempty"`
		Size       int    `json:"key_size,omitempty"`
		ReuseKey   bool   `json:"reuse_key"`
		Curve      string `json:"crv,omitempty"`
	}
	policySecret struct {
		ContentType string `json:"contentType,omitempty"`
	}
	policyX509 struct {
		Subject          string       `json:"subject,omitempty"`
		Names            *policyNames `json:"sans,omitempty"`
		ExtendedUsages   []string     `json:"ekus,omitempty"`
		Usages           []string     `json:"key_usage,omitempty"`
		ValidityMonths   *int         `json:"validity_months,omitempty"`
		BasicConstraints *struct {
			CA bool `json:"ca"`
		} `json:"basic_constraints,omitempty"`
	}
	policyNames struct {
		Emails    []string `json:"emails,omitempty"`
		DNS       []string `json:"dns_names,omitempty"`
		UPNs      []string `json:"upns,omitempty"`
		URIs      []string `json:"uris,omitempty"`
		Addresses []string `json:"ipAddresses,omitempty"`
	}
	policyAction struct {
		Trigger struct {
			Percentage *int `json:"lifetime_percentage,omitempty"`
			Days       *int `json:"days_before_expiry,omitempty"`
		} `json:"trigger"`
		Action struct {
			Type string `json:"action_type"`
		} `json:"action"`
	}
	policyIssuer struct {
		Name         string `json:"name,omitempty"`
		Type         string `json:"cty,omitempty"`
		Transparency *bool  `json:"cert_transparency,omitempty"`
	}
	policyAttributes struct {
		Enabled         *bool   `json:"enabled,omitempty"`
		NotBefore       *int64  `json:"nbf,omitempty"`
		Expires         *int64  `json:"exp,omitempty"`
		Created         *int64  `json:"created,omitempty"`
		Updated         *int64  `json:"updated,omitempty"`
		RecoveryLevel   *string `json:"recoveryLevel,omitempty"`
		RecoverableDays *int    `json:"recoverableDays,omitempty"`
	}
)

// Issuers that every vault has: itself, and an unknown authority.
const (
	selfIssuer    = "Self"
	unknownIssuer = "Unknown"
)

// usages maps the key usages of a certificate to the operations of its key in the vault
// (learn.microsoft.com/azure/key-vault/certificates/about-certificates#mapping-key-usage-to-key-operations).
var usages = map[string]struct {
	usage      x509.KeyUsage
	operations []string
}{
	"digitalSignature": {x509.KeyUsageDigitalSignature, []string{"sign", "verify"}},
	"nonRepudiation":   {x509.KeyUsageContentCommitment, []string{"sign", "verify"}},
	"keyEncipherment":  {x509.KeyUsageKeyEncipherment, []string{"wrapKey", "unwrapKey"}},
	"dataEncipherment": {x509.KeyUsageDataEncipherment, []string{"encrypt", "decrypt"}},
	"keyAgreement":     {x509.KeyUsageKeyAgreement, nil},
	"keyCertSign":      {x509.KeyUsageCertSign, []string{"sign", "verify"}},
	"cRLSign":          {x509.KeyUsageCRLSign, []string{"sign", "verify"}},
	"encipherOnly":     {x509.KeyUsageEncipherOnly, []string{"encrypt"}},
	"decipherOnly":     {x509.KeyUsageDecipherOnly, []string{"decrypt"}},
}

func badContentType(given string) *Error {
	return badParameter("The content type %.60q of a certificate's secret is not valid: %s or %s.", given, pkcs12Type,
		pemType)
}

// complete returns the policy with Key Vault's defaults, checked as the policy of a new certificate.
func (p CertificatePolicy) complete(v Vault) (*CertificatePolicy, error) {
	key, secret, subject, issuer := policyKey{}, policySecret{}, policyX509{}, policyIssuer{}
	if p.Key != nil {
		key = *p.Key
	}
	if p.Secret != nil {
		secret = *p.Secret
	}
	if p.X509 != nil {
		subject = *p.X509
	}
	if p.Issuer != nil {
		issuer = *p.Issuer
	}
	p.Key, p.Secret, p.X509, p.Issuer = &key, &secret, &subject, &issuer
	p.ID, p.Attributes = "", nil
	exports, year := true, 12
	if key.Exportable == nil {
		key.Exportable = &exports
	}
	if key.Type == "" {
		key.Type = "RSA"
	}
	ec := strings.HasPrefix(key.Type, "EC")
	if key.Curve == "" && ec {
		key.Curve = map[int]string{0: "P-256", 256: "P-256", 384: "P-384", 521: "P-521"}[key.Size]
	}
	if key.Size == 0 && !ec {
		key.Size = 2048
	}
	if secret.ContentType == "" {
		secret.ContentType = pkcs12Type
	}
	if subject.ValidityMonths == nil {
		subject.ValidityMonths = &year
	}
	if subject.ExtendedUsages == nil {
		subject.ExtendedUsages = []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}
	}
	if subject.Usages == nil {
		subject.Usages = []string{"digitalSignature"}
		if !ec {
			subject.Usages = []string{"digitalSignature", "keyEncipherment"}
		}
	}
	if issuer.Name == "" {
		issuer.Name = unknownIssuer
	}
	for _, known := range []string{selfIssuer, unknownIssuer} {
		if strings.EqualFold(issuer.Name, known) {
			issuer.Name = known
		}
	}
	if p.LifetimeActions == nil {
		eighty := 80
		action := policyAction{}
		action.Trigger.Percentage, action.Action.Type = &eighty, "EmailContacts"
		if issuer.Name == selfIssuer {
			action.Action.Type = "AutoRenew"
		}
		p.LifetimeActions = []policyAction{action}
	}
	if err := p.check(v); err != nil {
		return nil, err
	}
	if ec {
		key.Size = curves[key.Curve].Params().BitSize
	}
	return &p, nil
}

// check checks a complete policy against Key Vault's rules.
func (p *CertificatePolicy) check(v Vault) error {
	x := p.X509
	ec := strings.HasPrefix(p.Key.Type, "EC")
	switch {
	case !slices.Contains([]string{"RSA", "RSA-HSM", "EC", "EC-HSM"}, p.Key.Type):
		return badParameter("Key type %.40q is not valid: RSA, RSA-HSM, EC or EC-HSM.", p.Key.Type)
	case strings.HasSuffix(p.Key.Type, "-HSM") && !v.Premium:
		return badParameter("The key type %s is not supported by the standard SKU of this vault.", p.Key.Type)
	case strings.HasSuffix(p.Key.Type, "-HSM") && p.exportable():
		return badParameter("The key type %s cannot be exported: key_props.exportable must be false.", p.Key.Type)
	case p.Key.Curve == "P-256K":
		return notImplemented("keys on curve P-256K")
	case ec && curves[p.Key.Curve] == nil:
		return badParameter("Curve %.40q is not valid: P-256, P-256K, P-384 or P-521.", p.Key.Curve)
	case !ec && !slices.Contains([]int{2048, 3072, 4096}, p.Key.Size):
		return badParameter("Key size %d is not valid for key type %s: 2048, 3072 or 4096.", p.Key.Size, p.Key.Type)
	case !slices.Contains([]string{pkcs12Type, pemType}, p.Secret.ContentType):
		return badContentType(p.Secret.ContentType)
	case !slices.Contains([]string{selfIssuer, unknownIssuer}, p.Issuer.Name):
		return notImplemented("the certificate issuer " + printable(p.Issuer.Name) + ": Self and Unknown are known")
	case x.Subject == "" && (x.Names == nil || len(x.Names.DNS)+len(x.Names.Emails)+len(x.Names.URIs)+len(x.Names.Addresses)+len(x.Names.UPNs) == 0):
		return badParameter("The policy's x509_props must have a subject or subject alternative names.")
	case x.Names != nil && len(x.Names.UPNs) > 0:
		return notImplemented("user principal names of certificates")
	case *x.ValidityMonths < 1 || *x.ValidityMonths > 1200:
		return badParameter("Property validity_months has an invalid value: %d.", *x.ValidityMonths)
	case len(p.LifetimeActions) > 2:
		return badParameter("Property lifetime_actions has an invalid value: there is one action at most of each type.")
	}
	for _, action := range p.LifetimeActions {
		percentage, days := action.Trigger.Percentage, action.Trigger.Days
		switch {
		case !slices.Contains([]string{"AutoRenew", "EmailContacts"}, action.Action.Type):
			return badParameter("The action_type %.40q is not valid: AutoRenew or EmailContacts.", action.Action.Type)
		case (percentage == nil) == (days == nil):
			return badParameter("The trigger of a lifetime action is one of lifetime_percentage and days_before_expiry.")
		case percentage != nil && (*percentage < 1 || *percentage > 99):
			return badParameter("Property lifetime_percentage has an invalid value: 1 to 99.")
		case days != nil && (*days < 1 || *days > 27**x.ValidityMonths):
			return badParameter("Property days_before_expiry has an invalid value: 1 to %d.", 27**x.ValidityMonths)
		case action.Action.Type == "AutoRenew" && p.Issuer.Name == unknownIssuer:
			return badParameter("The issuer Unknown cannot renew a certificate: the lifetime action must be EmailContacts.")
		}
	}
	_, err := p.template()
	return err
}

// changed returns the policy after an update. Omitted properties keep their values.
func (p *CertificatePolicy) changed(with CertificatePolicy, v Vault) (*CertificatePolicy, error) {
	if p == nil {
		p = &CertificatePolicy{}
	}
	next := *p
	if with.Key != nil {
		next.Key = with.Key
	}
	if with.Secret != nil {
		next.Secret = with.Secret
	}
	if with.X509 != nil {
		next.X509 = with.X509
	}
	if with.LifetimeActions != nil {
		next.LifetimeActions = with.LifetimeActions
	}
	if with.Issuer != nil {
		next.Issuer = with.Issuer
		if with.LifetimeActions == nil && p.Issuer != nil && !strings.EqualFold(with.Issuer.Name, p.Issuer.Name) {
			next.LifetimeActions = nil // the new issuer has its own defaults
		}
	}
	changed, err := next.complete(v)
	if err != nil {
		return nil, err
	}
	changed.touch(p)
	return changed, nil
}

// touch sets the times of the policy.
func (p *CertificatePolicy) touch(before *CertificatePolicy) {
	now, enabled := time.Now().Unix(), true
	p.Attributes = &policyAttributes{Enabled: &enabled, Created: &now, Updated: &now}
	if before != nil && before.Attributes != nil {
		p.Attributes.Created = before.Attributes.Created
	}
}

// of derives the policy of an imported certificate.
func (p CertificatePolicy) of(
	leaf *x509.Certificate,
	private crypto.PrivateKey,
	contentType string,
) (*CertificatePolicy, error) {
	key := policyKey{Type: "RSA"}
	if p.Key != nil {
		key.Exportable, key.ReuseKey = p.Key.Exportable, p.Key.ReuseKey
		if strings.HasSuffix(p.Key.Type, "-HSM") {
			return nil, notImplemented("importing certificates into hardware modules")
		}
	}
	exports := true
	if key.Exportable == nil {
		key.Exportable = &exports
	}
	switch k := private.(type) {
	case *rsa.PrivateKey:
		key.Size = k.N.BitLen()
	case *ecdsa.PrivateKey:
		key.Type, key.Curve, key.Size = "EC", k.Params().Name, k.Params().BitSize
	default:
		return nil, badParameter("The private key of the certificate is neither RSA nor EC.")
	}
	if key.Type == "RSA" && !slices.Contains([]int{2048, 3072, 4096}, key.Size) ||
		key.Type == "EC" && curves[key.Curve] == nil {
		return nil, badParameter(
			"The private key of the certificate has a size that is not supported: RSA of 2048, 3072 or 4096 bits, or EC " +
				"on P-256, P-384 or P-521.",
		)
	}
	x := policyX509{Subject: leaf.Subject.String(), ExtendedUsages: extendedUsages(leaf), Usages: []string{}}
	for name, known := range usages {
		if leaf.KeyUsage&known.usage != 0 {
			x.Usages = append(x.Usages, name)
		}
	}
	slices.Sort(x.Usages)
	months := int(leaf.NotAfter.Sub(leaf.NotBefore).Hours()/24/30.4 + 0.5)
	x.ValidityMonths = &months
	if len(leaf.DNSNames)+len(leaf.EmailAddresses)+len(leaf.IPAddresses)+len(leaf.URIs) > 0 {
		x.Names = &policyNames{DNS: leaf.DNSNames, Emails: leaf.EmailAddresses}
		for _, address := range leaf.IPAddresses {
			x.Names.Addresses = append(x.Names.Addresses, address.String())
		}
		for _, uri := range leaf.URIs {
			x.Names.URIs = append(x.Names.URIs, uri.String())
		}
	}
	x.BasicConstraints = &struct {
		CA bool `json:"ca"`
	}{leaf.IsCA}
	actions := p.LifetimeActions
	if actions == nil {
		eighty := 80
		action := policyAction{}
		action.Trigger.Percentage, action.Action.Type = &eighty, "EmailContacts"
		actions = []policyAction{action}
	}
	issuer := policyIssuer{Name: unknownIssuer}
	if p.Issuer != nil && p.Issuer.Name != "" {
		issuer = *p.Issuer
	}
	if !slices.Contains([]string{selfIssuer, unknownIssuer}, issuer.Name) {
		return nil, notImplemented("the certificate issuer " + printable(issuer.Name) + ": Self and Unknown are known")
	}
	return &CertificatePolicy{
		Key:             &key,
		Secret:          &policySecret{contentType},
		X509:            &x,
		LifetimeActions: actions,
		Issuer:          &issuer,
	}, nil
}

func (p *CertificatePolicy) exportable() bool { return p.Key.Exportable == nil || *p.Key.Exportable }

// keySize returns the size of an RSA key. It is 0 for other keys.
func (p *CertificatePolicy) keySize() int {
	if strings.HasPrefix(p.Key.Type, "EC") {
		return 0
	}
	return p.Key.Size
}

// operations returns what the certificate's key may do: everything, unless the certificate lists usages.
func (p *CertificatePolicy) operations() []string {
	all := rsaOperations
	if strings.HasPrefix(p.Key.Type, "EC") {
		all = ecOperations
	}
	if len(p.X509.Usages) == 0 {
		return all
	}
	found := []string{}
	for _, operation := range all {
		if slices.ContainsFunc(p.X509.Usages,
			func(usage string) bool { return slices.Contains(usages[usage].operations, operation) }) {
			found = append(found, operation)
		}
	}
	return found
}

func keyID(public []byte) []byte {
	sum := sha1.Sum(public) //nolint:gosec // see above
	return sum[:]
}

func extendedUsages(certificate *x509.Certificate) []string {
	found := []string{}
	for _, extension := range certificate.Extensions {
		var ids []asn1.ObjectIdentifier
		if extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) {
			if _, err := asn1.Unmarshal(extension.Value, &ids); err != nil {
				continue
			}
		}
		for _, id := range ids {
			found = append(found, id.String())
		}
	}
	return found
}

// template returns the certificate that the policy describes, without the fields that differ between versions.
func (p *CertificatePolicy) template() (*x509.Certificate, error) {
	x := p.X509
	subject, err := distinguishedName(x.Subject)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		RawSubject:            subject,
		BasicConstraintsValid: true,
		IsCA:                  x.BasicConstraints != nil && x.BasicConstraints.CA,
	}
	for _, name := range x.Usages {
		known, ok := usages[name]
		if !ok {
			return nil, badParameter("Property key_usage has an invalid value: %.40q.", name)
		}
		t.KeyUsage |= known.usage
	}
	for _, id := range x.ExtendedUsages {
		oid, ok := objectIdentifier(id)
		if !ok {
			return nil, badParameter("Property ekus has an invalid value: %.40q.", id)
		}
		t.UnknownExtKeyUsage = append(t.UnknownExtKeyUsage, oid)
	}
	if x.Names == nil {
		return t, nil
	}
	t.DNSNames, t.EmailAddresses = x.Names.DNS, x.Names.Emails
	for _, text := range append(slices.Clone(t.DNSNames), t.EmailAddresses...) {
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, badParameter("Property sans has an invalid value: %.60q.", text)
		}
	}
	for _, text := range x.Names.Addresses {
		address := net.ParseIP(text)
		if address == nil {
			return nil, badParameter("Property ipAddresses has an invalid value: %.60q.", text)
		}
		t.IPAddresses = append(t.IPAddresses, address)
	}
	for _, text := range x.Names.URIs {
		uri, err := url.Parse(text)
		if err != nil || !uri.IsAbs() {
			return nil, badParameter("Property uris has an invalid value: %.60q.", text)
		}
		t.URIs = append(t.URIs, uri)
	}
	return t, nil
}

// request returns the template of a certificate request. As in Key Vault, it includes the usages and constraints.
func (p *CertificatePolicy) request() (*x509.CertificateRequest, error) {
	t, err := p.template()
	if err != nil {
		return nil, err
	}
	r := &x509.CertificateRequest{
		RawSubject:     t.RawSubject,
		DNSNames:       t.DNSNames,
		EmailAddresses: t.EmailAddresses,
		IPAddresses:    t.IPAddresses,
		URIs:           t.URIs,
	}
	add := func(id int, critical bool, value any) {
		if der, wrong := asn1.Marshal(value); wrong == nil {
			r.ExtraExtensions = append(r.ExtraExtensions, pkix.Extension{
				Id: asn1.ObjectIdentifier{2, 5, 29, id}, Critical: critical, Value: der,
			})
		} else {
			err = badParameter("The policy has no certificate request: %v", wrong)
		}
	}
	if t.KeyUsage != 0 {
		add(15, true, usageBits(t.KeyUsage))
	}
	if len(t.UnknownExtKeyUsage) > 0 {
		add(37, false, t.UnknownExtKeyUsage)
	}
	add(19, false, struct {
		CA bool `asn1:"optional"`
	}{t.IsCA})
	return r, err
}

// usageBits returns key usages as in DER, with the first usage in the highest bit.
func usageBits(usage x509.KeyUsage) asn1.BitString {
	var bits asn1.BitString
	for i := range 9 {
		if usage&(1<<i) != 0 {
			for len(bits.Bytes) <= i/8 {
				bits.Bytes = append(bits.Bytes, 0)
			}
			bits.Bytes[i/8] |= 0x80 >> (i % 8)
			bits.BitLength = i + 1
		}
	}
	return bits
}

func objectIdentifier(text string) (asn1.ObjectIdentifier, bool) {
	var id asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, false
		}
		id = append(id, int(n))
	}
	return id, len(id) >= 2 && id[0] <= 2 && (id[0] == 2 || id[1] < 40)
}

// attributeTypes maps attributes of distinguished names to their object identifiers.
var attributeTypes = map[string]asn1.ObjectIdentifier{
	"CN": {
		2,
		5,
		4,
		3,
	},
	"SN":           {2, 5, 4, 4},
	"SERIALNUMBER": {2, 5, 4, 5},
	"C":            {2, 5, 4, 6},
	"L":            {2, 5, 4, 7},
	"S":            {2, 5, 4, 8},
	"ST":           {2, 5, 4, 8},
	"STREET": {
		2,
		5,
		4,
		9,
	},
	"O":          {2, 5, 4, 10},
	"OU":         {2, 5, 4, 11},
	"T":          {2, 5, 4, 12},
	"TITLE":      {2, 5, 4, 12},
	"G":          {2, 5, 4, 42},
	"GN":         {2, 5, 4, 42},
	"I":          {2, 5, 4, 43},
	"DC":         {0, 9, 2342, 19200300, 100, 1, 25},
	"E":          {1, 2, 840, 113549, 1, 9, 1},
	"EMAIL":      {1, 2, 840, 113549, 1, 9, 1},
	"POSTALCODE": {2, 5, 4, 17},
}

// distinguishedName parses a subject such as CN=example.com, O="One, Two" and keeps its order.
func distinguishedName(text string) ([]byte, error) {
	invalid := badParameter("Property subject has an invalid value: %.100q is no X.500 distinguished name.", text)
	sequence := pkix.RDNSequence{}
	for rest := strings.TrimSpace(text); rest != ""; {
		name, after, ok := strings.Cut(rest, "=")
		id, known := attributeTypes[strings.ToUpper(strings.TrimSpace(name))]
		if !known {
			id, known = objectIdentifier(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "OID."))
		}
		if !ok || !known {
			return nil, invalid
		}
		value, left, ok := attributeValue(strings.TrimLeft(after, " "))
		if !ok || value == "" {
			return nil, invalid
		}
		var encoded any = value
		if strings.HasSuffix(id.String(), ".113549.1.9.1") || id.Equal(attributeTypes["DC"]) {
			raw := asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(value)}
			encoded = raw
		}
		sequence = append(sequence, pkix.RelativeDistinguishedNameSET{{Type: id, Value: encoded}})
		rest = strings.TrimSpace(left)
	}
	der, err := asn1.Marshal(sequence)
	if err != nil {
		return nil, invalid
	}
	return der, nil
}

// attributeValue parses a value up to the next comma. Quotes and backslashes escape commas.
func attributeValue(text string) (value, rest string, ok bool) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '"':
			if quoted && i+1 < len(text) && text[i+1] == '"' {
				b.WriteByte('"')
				i++
				continue
			}
			quoted = !quoted
		case ch == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case (ch == ',' || ch == ';' || ch == '+') && !quoted:
			if ch == '+' || strings.TrimSpace(text[i+1:]) == "" {
				return "", "", false
			}
			return strings.TrimSpace(b.String()), text[i+1:], true
		default:
			b.WriteByte(ch)
		}
	}
	return strings.TrimSpace(b.String()), "", !quoted
}

// policyBundle returns a certificate's policy.
func (v Vault) policyBundle(o Object) any {
	if o.Policy == nil {
		return nil
	}
	policy := *o.Policy
	policy.ID = v.id(Certificate, o.Name, "policy")
	return policy
}
