package tests

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestExamples_UseExistingVaultAndCluster brings up the examples for which a vault or a cluster exist, one after
// another: those of the dev stack, of which nothing else is then than before.
func TestExamples_UseExistingVaultAndCluster(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--config", "rotationPollInterval=2s")
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer, cryptoOfficer, certificatesOfficer)
	secrets, _ := vaultClients(t, c, first.VaultURI)
	web := &certificate{cloud: c, uri: first.VaultURI}
	web.renew(t)
	theirs := func() string { // but for the certificate, which is renewed here
		return strings.Join(slices.DeleteFunc(strings.Split(theFirstTeams(t, c, first), "\n"),
			func(line string) bool { return strings.Contains(line, "/secrets/web ") }), "\n")
	}
	before := theirs()
	for _, example := range []struct {
		name string
		with map[string]string
		want func(t *testing.T, p *program)
	}{
		{"go-app", map[string]string{"vaultId": first.VaultID}, func(t *testing.T, _ *program) {
			c.wantAppReads(t, "go-app", getSecret(t, secrets, "my-secret"))
		}},
		{"ingress-tls", map[string]string{"vaultId": first.VaultID, "host": "web.example"}, web.wantServed},
		{"rotation", nil, wantEveryValue},
	} {
		t.Run(example.name, func(t *testing.T) {
			configuration := map[string]string{"clusterId": first.ClusterID, "resourceGroupName": "keyvault-demo"}
			maps.Copy(configuration, example.with)
			p := newProgram(t, c, filepath.Join("examples", example.name), configuration)
			p.upTwice(t)
			example.want(t, p)
			p.destroy(t)
			if after := theirs(); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			if left, err := c.run(t, "", "kubectl", "get", "namespace", example.name); err == nil {
				t.Errorf("the namespace is left: %s", left)
			}
		})
	}
	c.pulumi(t, "preview", "--expect-no-changes")
}

// twice brings the stack up, and once more, when there must be nothing to do.
func (p *program) upTwice(t *testing.T) {
	t.Helper()
	p.pulumi(t, "up", "--yes", "--skip-preview")
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
}

// gone destroys the stack, and leaves nothing of it in the backend.
func (p *program) destroy(t *testing.T) {
	t.Helper()
	p.pulumi(t, "destroy", "--yes", "--skip-preview", "--remove")
}

// goneIn destroys the stack, after which there are as many resource groups as before it.
func (p *program) destroyIn(t *testing.T, groups int) {
	t.Helper()
	p.destroy(t)
	if left := resourceGroups(t, p.cloud); left != groups {
		t.Errorf("%d resource groups are left of %d", left-groups, left)
	}
}

// wantAppReads looks for a value in the pod of an application, in its file and in its variable.
func (c *cloud) wantAppReads(t *testing.T, namespace, value string) {
	t.Helper()
	for where, command := range map[string]string{
		"file": "cat /mnt/secrets/password", "variable": `printf %s "$PASSWORD"`,
	} {
		if c.kubectl(t, "exec", "-n", namespace, "deploy/app", "--", "sh", "-c", command) != value {
			t.Errorf("the pod has another value in its %s than the vault", where)
		}
	}
}

// certificate is the newest that a vault has under the name web.
type certificate struct {
	cloud    *cloud
	uri      string
	leaf     string
	versions int
}

// renew puts another certificate into the vault, in the forms of Key Vault by turns: PKCS #12 and PEM.
func (w *certificate) renew(t *testing.T) {
	t.Helper()
	var key string
	w.leaf, key = selfSigned(t)
	content, form := key+w.leaf, "application/x-pem-file"
	if w.versions++; w.versions%2 == 1 {
		bundle := (&workloads{certificate: w.leaf, key: key}).pkcs12(t)
		content, form = base64.StdEncoding.EncodeToString([]byte(bundle)), "application/x-pkcs12"
	}
	importCertificate(t, w.cloud, w.uri, "web", content, form)
}

// wantServed looks whether the Ingress names a Secret that has the certificate and its key, also when it is renewed.
func (w *certificate) wantServed(t *testing.T, p *program) {
	var ingress struct {
		Spec struct {
			TLS []struct {
				Hosts      []string
				SecretName string
			}
		}
	}
	get := func(into any, kind, name string) {
		text := p.kubectl(t, "get", kind, "-n", "ingress-tls", name, "--output=json")
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	get(&ingress, "ingress", "web")
	if of := ingress.Spec.TLS; len(of) != 1 || !slices.Equal(of[0].Hosts, []string{"web.example"}) {
		t.Fatalf("the TLS of the Ingress is %+v", of)
	}
	want := func() {
		eventually(t, "the Secret of the Ingress has the certificate", func() bool {
			var secret struct {
				Type string
				Data map[string][]byte
			}
			get(&secret, "secret", ingress.Spec.TLS[0].SecretName)
			if secret.Type != "kubernetes.io/tls" {
				t.Fatalf("the Secret is of the type %s", secret.Type)
			}
			return w.is(t, string(secret.Data["tls.crt"]), string(secret.Data["tls.key"]))
		})
	}
	want()
	w.renew(t)
	want()
}

// is says whether a certificate that has the key, both in PEM, is the newest.
func (w *certificate) is(t *testing.T, certificate, key string) bool {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key)) // which looks whether they match
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := pem.Decode([]byte(w.leaf))
	return slices.Equal(pair.Certificate[0], leaf.Bytes)
}

// wantEveryValue changes the value of the example rotation twice, by the program and by hand. Each value is read in the
// file by a pod that goes on, and in the variable by one that is new.
func wantEveryValue(t *testing.T, p *program) {
	var outputs struct{ VaultID, VaultURI string }
	p.outputs(t, &outputs)
	grant(t, p.cloud, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, p.cloud, outputs.VaultURI)
	logged := func(app string) []string { // nothing where the pod goes away meanwhile
		lines, _ := p.run(t, "", "kubectl", "logs", "-n", "rotation", "deploy/"+app)
		return strings.Split(strings.TrimSpace(lines), "\n")
	}
	reader := func() string {
		return p.kubectl(t, "get", "pod", "-n", "rotation", "-l", "app.kubernetes.io/name=file",
			"--output=jsonpath={.items[*].metadata.uid}")
	}
	pod := reader()
	var file []string
	for _, change := range []struct {
		how string
		now func()
	}{
		{"at first", func() {}},
		{"by the program", func() {
			p.configure(t, map[string]string{"rotate": "second"})
			p.pulumi(t, "up", "--yes", "--skip-preview")
		}},
		{"by hand", func() {
			setSecret(t, secrets, "password", "by-hand-"+rand.Text())
			p.pulumi(t, refreshed...)
		}},
	} {
		change.now()
		sum := sha256.Sum256([]byte(getSecret(t, secrets, "password")))
		digest := hex.EncodeToString(sum[:])
		file = append(file, "the file has "+digest)
		eventually(t, change.how+": the file has the value, and had each before", func() bool {
			return slices.Equal(logged("file"), file)
		})
		p.kubectl(t, "rollout", "status", "-n", "rotation", "deploy/variable", "--timeout=120s")
		p.kubectl(t, "wait", "-n", "rotation", "--for=jsonpath={.status.replicas}=1", "deploy/variable", "--timeout=120s")
		eventually(t, change.how+": the variable has the value", func() bool {
			return slices.Equal(logged("variable"), []string{"the variable has " + digest})
		})
	}
	if reader() != pod {
		t.Error("the pod that reads the file is another one")
	}
}

// TestExamples_IsolateTeams brings up the example go-platform. The pod of each team reads the team's secrets, and
// none reads those of a team of the same cluster, or of the other one.
func TestExamples_IsolateTeams(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--config", "workloads=[]")
	groups := resourceGroups(t, c)
	p := newProgram(t, c, "examples/go-platform", map[string]string{"tenantId": c.running(t).Credentials.TenantID})
	p.upTwice(t)
	var outputs struct {
		VaultID, VaultName, VaultURI string
		Kubeconfigs                  map[string]string
	}
	if err := json.Unmarshal([]byte(p.pulumi(t, "stack", "output", "--json", "--show-secrets")), &outputs); err != nil {
		t.Fatal(err)
	}
	grant(t, c, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, c, outputs.VaultURI)
	clusters := map[string]*cloud{}
	for name, kubeconfig := range outputs.Kubeconfigs {
		clusters[name] = c.inCluster(t, filepath.Join(p.dir, name+".kubeconfig"), kubeconfig)
	}
	clientIDs := map[string]string{}
	for team, of := range map[string]struct {
		cluster string
		secrets []string
	}{
		"payments": {"east", []string{"database", "gateway"}}, "orders": {"east", []string{"database"}},
		"catalog": {"east", []string{"database", "search"}}, "accounts": {"west", []string{"database"}},
		"reports": {"west", []string{"warehouse"}},
	} {
		in := clusters[of.cluster]
		for _, secret := range of.secrets {
			read := in.kubectl(t, "exec", "-n", team, "keyvault-test-pod", "--", "cat", "/mnt/secrets/"+secret)
			if read != getSecret(t, secrets, team+"-"+secret) {
				t.Errorf("the pod of %s has another %s than the vault", team, secret)
			}
		}
		clientIDs[team] = in.kubectl(t, "get", "secretproviderclass", "-n", team, "secrets",
			"--output=jsonpath={.spec.parameters.clientID}")
	}
	// Whoever may do everything in the namespace payments tries to get at what is others'.
	refused := map[string]string{}
	for name, try := range map[string]struct{ clientID, secret, refusal string }{
		"same-cluster":  {clientIDs["payments"], "orders-database", "ForbiddenByRbac"},
		"other-cluster": {clientIDs["payments"], "reports-warehouse", "ForbiddenByRbac"},
		"as-another":    {clientIDs["orders"], "orders-database", "AADSTS700213"},
		"as-one-beyond": {clientIDs["reports"], "reports-warehouse", "AADSTS700211"},
	} {
		tenant := c.running(t).Credentials.TenantID
		class := fmt.Sprintf(intruderClass, name, try.clientID, outputs.VaultName, tenant, try.secret)
		clusters["east"].apply(t, class+readerPod(name, "payments", "payments", name))
		refused[name] = try.refusal
	}
	clusters["east"].wantRefusedMounts(t, "payments", refused)
	p.destroyIn(t, groups)
}

// intruderClass is a class of the namespace payments.
const intruderClass = `
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: %[1]s, namespace: payments}
spec:
  provider: azure
  parameters:
    clientID: %[2]s
    keyvaultName: %[3]s
    tenantID: %[4]s
    objects: "array: ['{objectName: %[5]s, objectType: secret}']"
---
`

// inCluster is the cloud as seen by who uses another cluster in it than that of its own stack.
func (c *cloud) inCluster(t *testing.T, file, kubeconfig string) *cloud {
	t.Helper()
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return &cloud{project: c.project, home: c.home, env: append(slices.Clone(c.env), "KUBECONFIG="+file), envPID: c.envPID}
}

func TestExamples_StandAlone(t *testing.T) { standAlone(t, "examples") }

// standAlone looks at what each project in a folder of the checkout has. The versions in its go.mod are those of the
// components, so that everything is compiled once.
func standAlone(t *testing.T, in string) {
	t.Helper()
	of := requirements(t, checkout)
	projects, err := filepath.Glob(filepath.Join(checkout, in, "*", "Pulumi.yaml"))
	if err != nil || len(projects) == 0 {
		t.Fatalf("no project is in %s: %v", in, err)
	}
	for _, project := range projects {
		folder := filepath.Dir(project)
		name, _ := filepath.Rel(checkout, folder)
		if _, err := os.Stat(filepath.Join(folder, "README.md")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err != nil { // of another language
			continue
		}
		for module, version := range requirements(t, folder) {
			if want, shared := of[module]; shared && version != want {
				t.Errorf("%s takes %s in %s, and the components take %s", name, module, version, want)
			}
		}
	}
}

// requirements are the versions in a go.mod.
func requirements(t *testing.T, dir string) map[string]string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "go.mod")
	err := os.WriteFile(name, goMod(t, dir), 0o600)
	var out []byte
	if err == nil {
		out, err = exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", name).Output()
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err == nil {
		err = json.Unmarshal(out, &file)
	}
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	versions := map[string]string{}
	for _, r := range file.Require {
		versions[r.Path] = r.Version
	}
	return versions
}

// goMod is a module's go.mod. Where it is of a template, the project has a name.
func goMod(t *testing.T, dir string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(content, []byte("${PROJECT}"), []byte("project"), 1)
}
