package kube

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestAClusterThatStartsAgainIsTheSame(t *testing.T) {
	dir := t.TempDir()
	var authorities, keys [2]string
	for i := range 2 {
		ca, err := loadOrMakeAuthority(dir)
		if err != nil {
			t.Fatal(err)
		}
		authorities[i] = string(ca.cert.Raw)
		_, path, err := serviceAccountKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = string(content)
	}
	if authorities[0] != authorities[1] || keys[0] != keys[1] {
		t.Error("the second start made another authority or another key")
	}
}

func TestAKubeconfigsCertificateIsItsUsers(t *testing.T) {
	ca, err := loadOrMakeAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	user, err := ca.credentials(certificate{name: "user", user: "masterclient", groups: []string{"system:masters"}})
	if err != nil {
		t.Fatal(err)
	}
	content, err := kubeconfig(ca, "https://c.hcp.eastus.azmk8s.io:443", "c", "clusterUser_g_c", user)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Users []struct {
			User map[string]string `json:"user"`
		} `json:"users"`
		Clusters []struct {
			Cluster map[string]string `json:"cluster"`
		} `json:"clusters"`
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	if server := config.Clusters[0].Cluster["server"]; server != "https://c.hcp.eastus.azmk8s.io:443" {
		t.Errorf("server %s", server)
	}
	pem, err := base64.StdEncoding.DecodeString(config.Users[0].User["client-certificate-data"])
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/user.crt"
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	der, err := readPEM(path)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	if _, err := cert.Verify(
		x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	); err != nil {
		t.Errorf("the certificate is not the authority's: %v", err)
	}
	if cert.Subject.CommonName != "masterclient" || len(cert.Subject.Organization) != 1 ||
		cert.Subject.Organization[0] != "system:masters" {
		t.Errorf("the certificate is of %s", cert.Subject)
	}
}

func TestServingCertificatesHoldForTheNamesTheyAreMadeFor(t *testing.T) {
	ca, err := loadOrMakeAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	crt, _, err := ca.ensure(
		certificate{name: "server", user: "server", hosts: []string{"c.hcp.eastus.azmk8s.io", "10.0.0.1"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	der, err := readPEM(crt)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"c.hcp.eastus.azmk8s.io": true, "10.0.0.1": true, "other.hcp.eastus.azmk8s.io": false} {
		if got := cert.VerifyHostname(host) == nil; got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestACertificateIsKeptUntilItIsForOtherNames(t *testing.T) {
	ca, err := loadOrMakeAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	read := func(hosts ...string) *x509.Certificate {
		if _, _, err := ca.ensure(certificate{name: "server", user: "server", hosts: hosts}); err != nil {
			t.Fatal(err)
		}
		pair, err := readPair(ca.dir, "server")
		if err != nil {
			t.Fatal(err)
		}
		return pair.cert
	}
	first := read("a.test", "127.0.0.1")
	if again := read("a.test", "127.0.0.1"); !again.Equal(first) {
		t.Error("it is another one for the same names")
	}
	if other := read("b.test", "127.0.0.1"); other.VerifyHostname("b.test") != nil {
		t.Error("it is not for the new name")
	}
}

// TestManager_GivesItsSpareKeyToOneNewCluster has two clusters that are new, and one that had a key.
func TestManager_GivesItsSpareKeyToOneNewCluster(t *testing.T) {
	m := New(Options{Dir: t.TempDir()})
	spare, err := m.spare()
	if err != nil {
		t.Fatal(err)
	}
	had, lost, first, second := m.cluster("/had"), m.cluster("/lost"), m.cluster("/first"), m.cluster("/second")
	before, _, err := keyOf(had)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.MkdirAll(lost.dir, 0o700),
		os.WriteFile(filepath.Join(lost.dir, readyMark), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*cluster{had, lost, first, second} {
		if err := m.giveKey(c); err != nil {
			t.Fatal(err)
		}
	}
	if now, _, err := keyOf(had); err != nil || !before.(*rsa.PrivateKey).Equal(now) {
		t.Errorf("one that had a key has another: %v", err)
	}
	if _, _, err := keyOf(lost); err == nil {
		t.Error("one that had lost its key has another")
	}
	if now, _, err := keyOf(first); err != nil || !spare.(*rsa.PrivateKey).Equal(now) {
		t.Errorf("the first one has a key of its own: %v", err)
	}
	if now, _, err := keyOf(second); err != nil || spare.(*rsa.PrivateKey).Equal(now) {
		t.Errorf("the second one has the first one's key: %v", err)
	}
}

func keyOf(c *cluster) (crypto.Signer, string, error) {
	dir := filepath.Join(c.dir, "pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	return serviceAccountKey(dir)
}
