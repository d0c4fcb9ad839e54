package keyvault

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"time"

	"golang.org/x/crypto/pkcs12"
)

// The content types of a secret that is a certificate with its key.
const (
	pemType    = "application/x-pem-file"
	pkcs12Type = "application/x-pkcs12"
)

// certificate reads the leaf of a secret that is a certificate: the PEM of a private key and of certificates, the leaf first, or the base64 of
// a PKCS #12 without a password. Other secrets are none.
func certificate(v Version) (*x509.Certificate, bool) {
	switch v.ContentType {
	case pemType:
		return certificateInPEM(v.Value)
	case pkcs12Type:
		content, err := base64.StdEncoding.DecodeString(v.Value)
		if err != nil {
			return nil, false
		}
		_, leaf, err := pkcs12.Decode(content, "")
		return leaf, err == nil
	}
	return nil, false
}

func certificateInPEM(content string) (*x509.Certificate, bool) {
	var leaf *x509.Certificate
	hasKey := false
	for rest := []byte(content); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return leaf, leaf != nil && hasKey
		}
		switch block.Type {
		case "CERTIFICATE":
			if leaf != nil {
				continue
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, false
			}
			leaf = cert
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			hasKey = true
		}
	}
}

// CertificateEnd is when the certificate ends that a version of a secret is; ok is false where it is none.
func (v Version) CertificateEnd() (end time.Time, ok bool) {
	cert, ok := certificate(v)
	if !ok {
		return time.Time{}, false
	}
	return cert.NotAfter, true
}

// certificateKey is the key that a certificate brings along, under the certificate's name.
func certificateKey(cert *x509.Certificate) (kty string, operations []string, err error) {
	switch cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA", rsaOperations, nil
	case *ecdsa.PublicKey:
		return "EC", ecOperations, nil
	}
	return "", nil, fmt.Errorf("a certificate with a key of type %T is not implemented here", cert.PublicKey)
}
