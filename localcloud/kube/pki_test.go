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

func TestAuthority_SurvivesRestart(t *testing.T) {
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
		t.Error("the second start created another authority or key")
	}
}

func TestKubeconfig_HasCertificateOfUser(t *testing.T) {
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
	asClient := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := cert.Verify(asClient); err != nil {
		t.Errorf("the certificate is not the authority's: %v", err)
	}
	if cert.Subject.CommonName != "masterclient" || len(cert.Subject.Organization) != 1 ||
		cert.Subject.Organization[0] != "system:masters" {
		t.Errorf("the certificate is of %s", cert.Subject)
	}
}

func TestEnsure_CertifiesOnlyGivenHosts(t *testing.T) {
	ca, err := loadOrMakeAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"c.hcp.eastus.azmk8s.io", "10.0.0.1"}
	crt, _, err := ca.ensure(certificate{name: "server", user: "server", hosts: hosts})
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
	for host, want := range map[string]bool{
		"c.hcp.eastus.azmk8s.io": true, "10.0.0.1": true, "other.hcp.eastus.azmk8s.io": false,
	} {
		if got := cert.VerifyHostname(host) == nil; got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestEnsure_KeepsCertificateForSameHosts(t *testing.T) {
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
		t.Error("it changes although the hosts are the same")
	}
	if other := read("b.test", "127.0.0.1"); other.VerifyHostname("b.test") != nil {
		t.Error("it does not cover the new host")
	}
}

// TestManager_GivesSpareKeyToOneNewCluster has two new clusters, one with a key, and one that has lost its key.
func TestManager_GivesSpareKeyToOneNewCluster(t *testing.T) {
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
	err = errors.Join(os.MkdirAll(lost.dir, 0o700), os.WriteFile(filepath.Join(lost.dir, readyMark), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*cluster{had, lost, first, second} {
		if err := m.giveKey(c); err != nil {
			t.Fatal(err)
		}
	}
	if now, _, err := keyOf(had); err != nil || !before.(*rsa.PrivateKey).Equal(now) {
		t.Errorf("the cluster with a key gets another one: %v", err)
	}
	if _, _, err := keyOf(lost); err == nil {
		t.Error("the cluster that lost its key gets another one")
	}
	if now, _, err := keyOf(first); err != nil || !spare.(*rsa.PrivateKey).Equal(now) {
		t.Errorf("the first new cluster does not get the spare key: %v", err)
	}
	if now, _, err := keyOf(second); err != nil || spare.(*rsa.PrivateKey).Equal(now) {
		t.Errorf("the second new cluster gets the first one's key: %v", err)
	}
}

func keyOf(c *cluster) (crypto.Signer, string, error) {
	dir := filepath.Join(c.dir, "pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	return serviceAccountKey(dir)
}
