package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	"sigs.k8s.io/yaml"
)

// TestManifests_MatchKubernetesSchemas validates the golden manifests of the components against the schemas of
// Kubernetes and SecretProviderClass. Unknown fields are errors.
func TestManifests_MatchKubernetesSchemas(t *testing.T) {
	t.Parallel()
	manifests, err := filepath.Glob(filepath.Join(checkout, "components", "testdata", "golden", "*.yaml"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("there are no golden manifests: %v", err)
	}
	schemas := t.TempDir()
	kubernetesSchemas(t, schemas, map[string]string{
		"pod-v1":             "io.k8s.api.core.v1.Pod",
		"namespace-v1":       "io.k8s.api.core.v1.Namespace",
		"serviceaccount-v1":  "io.k8s.api.core.v1.ServiceAccount",
		"deployment-apps-v1": "io.k8s.api.apps.v1.Deployment",
	})
	classSchema(t, schemas)
	v, err := validator.New([]string{schemas + "/{{ .ResourceKind }}{{ .KindSuffix }}.json"}, validator.Opts{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, manifest := range manifests {
		file, err := os.Open(manifest)
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range v.Validate(manifest, file) {
			if result.Status != validator.Valid && result.Status != validator.Empty {
				t.Errorf("%s: %v %v", filepath.Base(manifest), result.Err, result.ValidationErrors)
			}
		}
	}
	wrong := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
		"spec": {"containers": [{"name": "c", "imagine": "x"}]}}`
	if result := v.Validate("wrong", readCloser{strings.NewReader(wrong)}); result[0].Status != validator.Invalid {
		t.Errorf("validation of a manifest with an unknown field: got %v, want invalid", result[0].Err)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// moduleFile reads a file of a module that the local cloud pins.
func moduleFile(t *testing.T, pins, module, file string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	cmd.Dir = filepath.Join(checkout, "localcloud", "thirdparty", pins)
	out, err := cmd.Output()
	var downloaded struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &downloaded)
	}
	if err != nil {
		t.Fatalf("finding %s: %v", module, err)
	}
	content, err := os.ReadFile(filepath.Join(downloaded.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeSchema(t *testing.T, dir, name string, schema any) {
	t.Helper()
	content, err := json.Marshal(schema)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".json"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// kubernetesSchemas writes the schemas of some kinds, from the API definitions of the local cloud's API server.
func kubernetesSchemas(t *testing.T, dir string, kinds map[string]string) {
	t.Helper()
	var api struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	content := moduleFile(t, "kubernetes", "k8s.io/kubernetes", "api/openapi-spec/swagger.json")
	if err := json.Unmarshal(content, &api); err != nil {
		t.Fatal(err)
	}
	for _, definition := range api.Definitions {
		if definition["format"] == "int-or-string" {
			delete(definition, "type")
			delete(definition, "format")
			definition["type"] = []string{"integer", "string"}
		}
		if definition["properties"] != nil && definition["additionalProperties"] == nil {
			definition["additionalProperties"] = false
		}
	}
	writeSchema(t, dir, "_definitions", api)
	for file, kind := range kinds {
		if api.Definitions[kind] == nil {
			t.Fatalf("Kubernetes has no kind %s", kind)
		}
		writeSchema(t, dir, file, map[string]any{"$ref": "_definitions.json#/definitions/" + kind})
	}
}

// classSchema writes the schema of SecretProviderClass from its custom resource definition.
func classSchema(t *testing.T, dir string) {
	t.Helper()
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				}
			}
		}
	}
	content := moduleFile(t, "secrets-store-csi-driver", "sigs.k8s.io/secrets-store-csi-driver",
		"deploy/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml")
	if err := yaml.Unmarshal(content, &crd); err != nil {
		t.Fatal(err)
	}
	for _, version := range crd.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		closeObjects(schema)
		writeSchema(t, dir, "secretproviderclass-secrets-store-"+version.Name, schema)
	}
}

// closeObjects makes a schema reject properties that it does not list.
func closeObjects(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		if property, ok := property.(map[string]any); ok && name != "metadata" {
			closeObjects(property)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		closeObjects(items)
	}
	if properties != nil && schema["additionalProperties"] == nil {
		schema["additionalProperties"] = false
	}
}
