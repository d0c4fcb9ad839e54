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

// TestExamples_UseExistingVaultAndCluster brings up the examples that use an existing vault or cluster. They use those
// of the dev stack, which must not change.
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
	theirs := func() string { // without the certificate, which this test renews
		return strings.Join(slices.DeleteFunc(strings.Split(firstStackSnapshot(t, c, first), "\n"),
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
				t.Errorf("the dev stack changed: now\n%s\nbefore\n%s", after, before)
			}
			if left, err := c.run(t, "", "kubectl", "get", "namespace", example.name); err == nil {
				t.Errorf("destroy left the namespace: %s", left)
			}
		})
	}
	c.pulumi(t, "preview", "--expect-no-changes")
}

// upTwice brings the stack up twice and checks that the second up changes nothing. The stack of an example must have the
// graph in docs/graphs.
func (p *program) upTwice(t *testing.T) {
	t.Helper()
	p.pulumi(t, "up", "--yes", "--skip-preview")
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
	p.wantGraph(t)
}

// destroy destroys the stack and removes it from the backend.
func (p *program) destroy(t *testing.T) {
	t.Helper()
	p.pulumi(t, "destroy", "--yes", "--skip-preview", "--remove")
}

// destroyIn destroys the stack and checks how many resource groups are left.
func (p *program) destroyIn(t *testing.T, groups int) {
	t.Helper()
	p.destroy(t)
	if left := resourceGroups(t, p.cloud); left != groups {
		t.Errorf("%d resource groups are left, want %d", left, groups)
	}
}

// wantAppReads checks that the application's pod has a value in its file and in its variable.
func (c *cloud) wantAppReads(t *testing.T, namespace, value string) {
	t.Helper()
	for where, command := range map[string]string{
		"file": "cat /mnt/secrets/password", "variable": `printf %s "$PASSWORD"`,
	} {
		if c.kubectl(t, "exec", "-n", namespace, "deploy/app", "--", "sh", "-c", command) != value {
			t.Errorf("the pod's %s does not have the vault's value", where)
		}
	}
}

// certificate is the newest version of a vault's certificate web.
type certificate struct {
	cloud    *cloud
	uri      string
	leaf     string
	versions int
}

// renew imports a new certificate into the vault, alternating between Key Vault's formats PKCS #12 and PEM.
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

// wantServed checks that the Ingress names a Secret with the certificate and its key, also after a renewal.
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
		t.Fatalf("the TLS of the Ingress is %+v, want one entry for web.example", of)
	}
	want := func() {
		eventually(t, "the Secret of the Ingress has the certificate", func() bool {
			var secret struct {
				Type string
				Data map[string][]byte
			}
			get(&secret, "secret", ingress.Spec.TLS[0].SecretName)
			if secret.Type != "kubernetes.io/tls" {
				t.Fatalf("the Secret has the type %s, want kubernetes.io/tls", secret.Type)
			}
			return w.is(t, string(secret.Data["tls.crt"]), string(secret.Data["tls.key"]))
		})
	}
	want()
	w.renew(t)
	want()
}

// is reports whether a certificate is the newest. It fails the test unless the key, like it in PEM, matches.
func (w *certificate) is(t *testing.T, certificate, key string) bool {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := pem.Decode([]byte(w.leaf))
	return slices.Equal(pair.Certificate[0], leaf.Bytes)
}

// wantEveryValue changes the value in the example rotation twice, by the program and by hand. It checks that a running
// pod reads each value from its file, and a new pod from its variable.
func wantEveryValue(t *testing.T, p *program) {
	var outputs struct{ VaultID, VaultURI string }
	p.outputs(t, &outputs)
	grant(t, p.cloud, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, p.cloud, outputs.VaultURI)
	logged := func(app string) []string { // nothing while the pod is being replaced
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
		t.Error("the pod that reads the file was restarted")
	}
}

// TestExamples_IsolateTeams brings up the example go-platform, and checks that each team's pod reads the team's secrets
// and none of another team, in the same cluster or the other one.
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
				t.Errorf("the pod of %s does not read the vault's value of %s", team, secret)
			}
		}
		clientIDs[team] = in.kubectl(t, "get", "secretproviderclass", "-n", team, "secrets",
			"--output=jsonpath={.spec.parameters.clientID}")
	}
	// An administrator of the namespace payments tries to read other teams' secrets.
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

// intruderClass is a SecretProviderClass in the namespace payments.
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

// inCluster returns the cloud with another cluster for kubectl.
func (c *cloud) inCluster(t *testing.T, file, kubeconfig string) *cloud {
	t.Helper()
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return &cloud{project: c.project, home: c.home, env: append(slices.Clone(c.env), "KUBECONFIG="+file), envPID: c.envPID}
}

// TestExamples_StandAlone checks that each example has what it needs on its own.
func TestExamples_StandAlone(t *testing.T) { standAlone(t, "examples") }

// standAlone checks that each project in a folder of the checkout has a README. The versions in its go.mod must be
// those of the components, so that Go compiles each module once.
func standAlone(t *testing.T, in string) {
	t.Helper()
	of := requirements(t, checkout)
	projects, err := filepath.Glob(filepath.Join(checkout, in, "*", "Pulumi.yaml"))
	if err != nil || len(projects) == 0 {
		t.Fatalf("%s has no project: %v", in, err)
	}
	for _, project := range projects {
		folder := filepath.Dir(project)
		name, _ := filepath.Rel(checkout, folder)
		if _, err := os.Stat(filepath.Join(folder, "README.md")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err != nil { // in another language
			continue
		}
		for module, version := range requirements(t, folder) {
			if want, shared := of[module]; shared && version != want {
				t.Errorf("%s requires %s %s, want %s as the components", name, module, version, want)
			}
		}
	}
}

// requirements returns the required versions in a go.mod by module.
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

// goMod returns a module's go.mod. In a template it fills in the project's name.
func goMod(t *testing.T, dir string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(content, []byte("${PROJECT}"), []byte("project"), 1)
}
