package tests

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestSecretMount_WaitsForItsKind checks that up waits for the kind SecretProviderClass, which the cluster's add-on
// installs later than the Kubernetes provider itself would wait.
func TestSecretMount_WaitsForItsKind(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in", "--config", "workloads=[]")
	const kind = "secretproviderclasses.secrets-store.csi.x-k8s.io"
	var definition map[string]any
	if err := json.Unmarshal([]byte(c.kubectl(t, "get", "crd", kind, "--output=json")), &definition); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "delete", "crd", kind)
	definition["metadata"] = map[string]any{"name": kind}
	delete(definition, "status")
	late, err := json.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	waited := false
	printed, lastLine, err := c.watchUp(t, func(printed []byte, _ func()) {
		if !waited && bytes.Contains(printed, []byte("of a kind that the cluster does not have yet")) {
			waited = true
			c.apply(t, string(late))
		}
	})
	if err != nil || !waited {
		t.Fatalf("up waited for the kind: %t, error: %v\n%s", waited, err, printed)
	}
	if lastLine == "" {
		t.Error("the pod does not read the secret")
	}
	c.wantComplete(t)
}
