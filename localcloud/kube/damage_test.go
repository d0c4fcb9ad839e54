package kube

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// TestCluster_KeepsLostKeysLost damages each file without which a cluster that was ready would become another one.
func TestCluster_KeepsLostKeysLost(t *testing.T) {
	for _, name := range []string{"ca.crt", "ca.key", "service-account.key"} {
		for how, content := range map[string]string{
			"gone": "", "empty": "\n", "text": "not PEM",
			"damaged": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		} {
			cluster := t.TempDir()
			dir := filepath.Join(cluster, "pki")
			load := func() error {
				if _, err := loadOrMakeAuthority(dir); err != nil {
					return err
				}
				_, _, err := serviceAccountKey(dir)
				return err
			}
			if err := load(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, name)
			if err := os.WriteFile(filepath.Join(cluster, readyMark), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			err := os.Remove(file)
			if how != "gone" {
				err = os.WriteFile(file, []byte(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := load(); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s, %s: %v", name, how, err)
			}
			if now, err := os.ReadFile(file); string(now) != content || err != nil && how != "gone" {
				t.Errorf("%s, %s: it was written again", name, how)
			}
		}
	}
}

func TestCluster_RecreatesKeysBeforeItIsReady(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if _, err := loadOrMakeAuthority(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil { // written after the certificate
		t.Fatal(err)
	}
	if _, err := loadOrMakeAuthority(dir); err != nil {
		t.Error(err)
	}
}

func TestControlPlane_ReportsMissingEtcdFiles(t *testing.T) {
	s := &supervisor{settings: settings{Dir: t.TempDir()}}
	if err := s.checkEtcd(); err != nil {
		t.Errorf("a new cluster: %v", err)
	}
	if err := os.WriteFile(s.path(readyMark), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.checkEtcd(); err == nil || !strings.Contains(err.Error(), s.path("etcd")) {
		t.Errorf("without its files: %v", err)
	}
	for _, file := range []string{"snap/db", "wal/0.wal"} {
		file = s.path("etcd", "member", file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.checkEtcd(); err != nil {
		t.Errorf("with its files: %v", err)
	}
}

// TestControlPlane_ReportsFailingEtcd has a program in place of etcd that ends immediately, as etcd does with files
// that it cannot read.
func TestControlPlane_ReportsFailingEtcd(t *testing.T) {
	s := &supervisor{settings: settings{Dir: t.TempDir()}, ends: map[string]int{}}
	var err error
	if s.ca, err = loadOrMakeAuthority(s.path("pki")); err != nil {
		t.Fatal(err)
	}
	if err := s.run(t.Context(), thirdparty.Etcd, "/bin/false"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	err = s.awaitAPIServer(t.Context(), func(int) bool { return true })
	if err == nil || !strings.Contains(err.Error(), s.path("etcd")) || time.Since(begin) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func TestManager_RejectsClusterWithLostFolder(t *testing.T) {
	dir := shortDir(t)
	spec := azure.ClusterSpec{ID: "/c", Name: "c", FQDN: "c.test"}
	start := func() (*Manager, error) {
		m := New(Options{Dir: dir, Node: StandInNode, Edge: noEdge{}, Log: slog.New(slog.DiscardHandler)})
		return m, m.Start(t.Context(), spec)
	}
	m, err := start()
	m.Close()
	if err != nil {
		t.Fatal(err)
	}
	folder := m.cluster(spec.ID).dir
	if err := os.RemoveAll(filepath.Dir(folder)); err != nil {
		t.Fatal(err)
	}
	m, err = start()
	if m == nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err == nil || !strings.Contains(err.Error(), folder) || len(m.Failures()) != 1 {
		t.Errorf("without its folder: %v, %q", err, m.Failures())
	}
	if err := m.Delete(t.Context(), spec.ID); err != nil || len(m.Failures()) != 0 {
		t.Errorf("deleting it: %v, %q", err, m.Failures())
	}
	if err := m.Start(t.Context(), spec); err != nil {
		t.Errorf("another one with its id: %v", err)
	}
}
