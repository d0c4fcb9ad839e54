package edge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	caFile   = "ca.pem"
	keyFile  = "ca-key.pem"
	lifetime = 365 * 24 * time.Hour
	// backdate allows for clients whose clocks are slow.
	backdate = time.Hour
)

// authority is the throw-away CA. It creates one leaf certificate for each host, on demand, and keeps it.
type authority struct {
	file string
	cert *x509.Certificate
	key  crypto.Signer

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// loadAuthority reads the CA from dir, or creates one if there is none or it expires within a day.
func loadAuthority(dir string) (*authority, error) {
	a := &authority{file: filepath.Join(dir, caFile), leaves: map[string]*tls.Certificate{}}
	pair, err := tls.LoadX509KeyPair(a.file, filepath.Join(dir, keyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a, a.create(dir)
	case err != nil:
		return nil, fmt.Errorf("reading the CA's %s and %s: %w", a.file, filepath.Join(dir, keyFile), err)
	}
	if time.Until(pair.Leaf.NotAfter) < 24*time.Hour {
		return a, a.create(dir)
	}
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(crypto.Signer)
	return a, nil
}

func (a *authority) create(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("creating the CA's key: %w", err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "keyvault-aks local cloud, throw-away CA"},
		NotBefore:             time.Now().Add(-backdate),
		NotAfter:              time.Now().Add(lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := sign(template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the CA's key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the CA's folder: %w", err)
	}
	// Write the key first: a crash in between must not leave a certificate without its key.
	for _, file := range []struct {
		name, block string
		der         []byte
		mode        os.FileMode
	}{{keyFile, "PRIVATE KEY", keyDER, 0o600}, {caFile, "CERTIFICATE", der, 0o644}} {
		text := pem.EncodeToMemory(&pem.Block{Type: file.block, Bytes: file.der})
		if err := writeFile(filepath.Join(dir, file.name), text, file.mode); err != nil {
			return fmt.Errorf("writing the CA: %w", err)
		}
	}
	a.key = key
	a.cert, err = x509.ParseCertificate(der)
	return err
}

// leaf returns the certificate of host and creates it the first time.
func (a *authority) leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf, ok := a.leaves[host]; ok {
		return leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating a key for %s: %w", host, err)
	}
	der, err := sign(&x509.Certificate{
		// A common name is limited to 64 characters, and clients read only the alternative name.
		Subject:     pkix.Name{CommonName: "keyvault-aks local cloud"},
		DNSNames:    []string{host},
		NotBefore:   time.Now().Add(-backdate),
		NotAfter:    a.cert.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf := &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
	a.leaves[host] = leaf
	return leaf, nil
}

func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generating a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return der, nil
}

// writeFile replaces a file atomically.
func writeFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // has an effect only if a step fails
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
