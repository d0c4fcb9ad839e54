package kube

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// validity is longer than the life of any cluster.
const validity = 10 * 365 * 24 * time.Hour

// authority is the cluster's certificate authority. Its files are kept for restarts of the cluster.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

func loadOrMakeAuthority(dir string) (*authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &authority{dir: dir}
	switch pair, err := readPair(dir, "ca"); {
	case err == nil:
		a.cert, a.key = pair.cert, pair.key
		return a, nil
	case !errors.Is(err, fs.ErrNotExist) || wasReady(filepath.Dir(dir)):
		return nil, lost(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a.key = key
	a.cert, err = a.sign("ca", template, key, template)
	return a, err
}

// readyMark is a file in a cluster's folder that exists once its API server was ready. Keys that are missing after that
// are lost. With new ones the cluster would be another one under the same name.
const readyMark = "ready"

func wasReady(cluster string) bool {
	_, err := os.Stat(filepath.Join(cluster, readyMark))
	return err == nil
}

// lost adds to err what to do if a file of a cluster is damaged or missing.
func lost(err error) error {
	return fmt.Errorf("the cluster's state is damaged: %w; `pulumi destroy` cannot reach the objects in it: remove the "+
		"local cloud with `localcloud down`, or else with `localcloud down --skip-destroy`", err)
}

// certificate describes a client or server certificate.
type certificate struct {
	name   string   // of the files: <name>.crt and <name>.key
	user   string   // the common name, which Kubernetes uses as the user's name
	groups []string // the organizations, which Kubernetes uses as the user's groups
	hosts  []string // names and addresses of a server
}

// ensure returns the paths of the certificate and the key. It creates them if they do not exist or do not cover all
// hosts.
func (a *authority) ensure(c certificate) (crt, key string, err error) {
	crt, key = filepath.Join(a.dir, c.name+".crt"), filepath.Join(a.dir, c.name+".key")
	if pair, err := readPair(a.dir, c.name); err == nil && pair.serves(c.hosts) {
		return crt, key, nil
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: c.user, Organization: c.groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, h := range c.hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	_, err = a.sign(c.name, template, pair, a.cert)
	return crt, key, err
}

func (a *authority) sign(
	name string, template *x509.Certificate, key crypto.Signer, parent *x509.Certificate,
) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("signing certificate %s: %w", name, err)
	}
	if err := writePEM(filepath.Join(a.dir, name+".crt"), "CERTIFICATE", der); err != nil {
		return nil, err
	}
	if err := writeKey(filepath.Join(a.dir, name+".key"), key); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

type keyPair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (p *keyPair) serves(hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(host string) bool { return p.cert.VerifyHostname(host) != nil })
}

func readPair(dir, name string) (*keyPair, error) {
	der, err := readPEM(filepath.Join(dir, name+".crt"))
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, name+".crt"), err)
	}
	key, err := readKey(filepath.Join(dir, name+".key"))
	return &keyPair{cert: cert, key: key}, err
}

// serviceAccountFile is in a cluster's folder pki.
const serviceAccountFile = "service-account.key"

// serviceAccountKey signs the tokens of the cluster's service accounts. It is RSA, as in AKS, since Entra takes RS256.
func serviceAccountKey(dir string) (key crypto.Signer, path string, err error) {
	path = filepath.Join(dir, serviceAccountFile)
	switch key, err := readKey(path); {
	case err == nil:
		return key, path, nil
	case !errors.Is(err, fs.ErrNotExist) || wasReady(filepath.Dir(dir)):
		return nil, "", lost(err)
	}
	if key, err = newServiceAccountKey(); err != nil {
		return nil, "", err
	}
	return key, path, writeKey(path, key)
}

func newServiceAccountKey() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

func readKey(path string) (crypto.Signer, error) {
	der, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("reading %s: %T cannot sign", path, key)
	}
	return signer, nil
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func readPEM(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("reading %s: no PEM block", path)
	}
	return block.Bytes, nil
}

// writePEM writes a file atomically.
func writePEM(path, kind string, der []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}
