package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// TestWorkloads_SecondTeamSharesVaultAndCluster brings programs/workloads up with the vault and the cluster of the dev
// stack. It uses features of the components that the repository's program does not use.
func TestWorkloads_SecondTeamSharesVaultAndCluster(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--config", "rotationPollInterval=2s")
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer, cryptoOfficer, certificatesOfficer)
	secrets, keys := vaultClients(t, c, first.VaultURI)
	w := &workloads{given: "given-" + rand.Text(), bytes: "\x00\xff" + rand.Text(), digits: rand.Text()}
	w.certificate, w.key = selfSigned(t)
	w.bundle = w.pkcs12(t)
	importCertificate(t, c, first.VaultURI, "issued", w.key+w.certificate, "application/x-pem-file")
	importCertificate(t, c, first.VaultURI, "issued-bundle", base64.StdEncoding.EncodeToString([]byte(w.bundle)),
		"application/x-pkcs12")
	before := firstStackSnapshot(t, c, first)

	p := newProgram(t, c, "tests/programs/workloads", map[string]string{
		"vaultId":           first.VaultID,
		"clusterId":         first.ClusterID,
		"namespace":         first.Namespace,
		"resourceGroupName": "keyvault-demo",
		"identityId":        identityOf(t, c, first.ClientID),
		"pinnedVersion":     latest(t, secrets, "my-secret"),
		"givenVersion":      "none",
		"rotate":            "once",
		"given!":            w.given,
		"bytes!":            base64.StdEncoding.EncodeToString([]byte(w.bytes)),
		"digits!":           hex.EncodeToString([]byte(w.digits)),
		"bundle!":           base64.StdEncoding.EncodeToString([]byte(w.bundle)),
		"certificate!":      w.key + w.certificate,
	})
	p.up(t)
	pinned := getSecret(t, secrets, "my-secret")
	generated := getSecret(t, secrets, "generated")

	t.Run("preview", func(t *testing.T) { p.pulumi(t, "preview", "--expect-no-changes") })
	t.Run("vault", func(t *testing.T) { w.wantInVault(t, secrets, keys) })
	t.Run("files", func(t *testing.T) {
		w.wantFiles(t, c, generated)
		for file, key := range map[string]string{"signer": "signer", "keys/wrapper": "wrapper"} {
			samePublicKey(t, w.inApp(t, c, "cat", "/mnt/secrets/"+file), keys, key)
		}
	})
	t.Run("modes and links", func(t *testing.T) {
		modes := w.inApp(t, c, "stat", "-L", "-c", "%a", "/mnt/secrets/given", "/mnt/secrets/folder/in folder/generated.txt",
			"/mnt/secrets/digits")
		if got := strings.Fields(modes); !slices.Equal(got, []string{"644", "444", "400"}) {
			t.Errorf("the modes are %q, want 644, 444 and 400", got)
		}
		if link := strings.TrimSpace(w.inApp(t, c, "readlink", "/mnt/secrets/given")); link != "..data/given" {
			t.Errorf("the file is a link to %q, want ..data/given, which a rotation can replace", link)
		}
		exec := []string{"exec", "-n", "team", "deploy/app", "-c", "app", "--", "touch", "/mnt/secrets/new"}
		if _, err := c.run(t, "", "kubectl", exec...); err == nil {
			t.Error("the volume is writable, want it read-only")
		}
	})
	t.Run("container without the mount", func(t *testing.T) {
		exec := []string{"exec", "-n", "team", "deploy/app", "-c", "without", "--", "ls", "/mnt/secrets"}
		if _, err := c.run(t, "", "kubectl", exec...); err == nil {
			t.Error("a container that the program does not name has the mount")
		}
	})
	t.Run("Secrets and variables", func(t *testing.T) {
		w.wantSecrets(t, c, w.given, generated)
		w.wantEnv(t, c, w.given, generated)
	})
	t.Run("kinds of workloads", func(t *testing.T) {
		w.want(t, "the pinned version in the StatefulSet", pinned,
			c.kubectl(t, "exec", "-n", "team-own", "db-0", "--", "cat", "/mnt/secrets/pinned"))
		w.want(t, "the newest version in the Pod", w.given,
			c.kubectl(t, "exec", "-n", "team-own", "both", "--", "cat", "/mnt/history/versions/given/0"))
		w.want(t, "the second mount of the Pod", pinned,
			c.kubectl(t, "exec", "-n", "team-own", "both", "--", "cat", "/mnt/second/my-secret"))
		w.want(t, "the Job's number of successes", "1",
			c.kubectl(t, "get", "job", "-n", "team", "task", "--output=jsonpath={.status.succeeded}"))
		w.want(t, "the probe's number of ready replicas", "1",
			c.kubectl(t, "get", "deploy", "-n", first.Namespace, "granted", "--output=jsonpath={.status.readyReplicas}"))
	})
	t.Run("accounts and namespaces", func(t *testing.T) { w.wantAccounts(t, c, first, p) })
	rotated := "rotated-" + rand.Text()
	t.Run("rotation", func(t *testing.T) {
		setSecret(t, secrets, "given", rotated)
		c.kubectl(t, "exec", "-n", "team", "deploy/app", "-c", "app", "--", "timeout", "60", "sh", "-c",
			`until [ "$(cat /mnt/secrets/given)" = "$0" ]; do sleep 0.2; done`, rotated)
		c.kubectl(t, "wait", "-n", "team", "secret/synced", "--timeout=60s",
			"--for=jsonpath={.data.GIVEN}="+base64.StdEncoding.EncodeToString([]byte(rotated)))
		w.wantEnv(t, c, w.given, generated) // running containers keep their variables
		// Each rotation writes another directory, so a shell that is in one would stay in the old one.
		const waitForVersions = `of=/mnt/secrets/versions/given
			until [ "$(cat $of/0)" = "$0" ] && [ "$(cat $of/1)" = "$1" ]; do sleep 0.2; done`
		c.kubectl(t, "exec", "-n", "team-own", "db-0", "--", "timeout", "60", "sh", "-c", waitForVersions, rotated, w.given)
	})
	t.Run("new Versions and Rotate", func(t *testing.T) {
		started := c.kubectl(t, "get", "pod", "-n", "team", "-l", "app.kubernetes.io/name=app", "--output=name")
		p.configure(t, map[string]string{"givenVersion": latest(t, secrets, "given"), "rotate": "twice"})
		p.up(t)
		again := getSecret(t, secrets, "generated")
		if again == generated {
			t.Fatal("another Rotate did not generate a new value")
		}
		generated = again
		if c.kubectl(t, "get", "pod", "-n", "team", "-l", "app.kubernetes.io/name=app", "--output=name") == started {
			t.Error("another Versions did not restart the Deployment")
		}
		w.want(t, "the variable", rotated, w.inApp(t, c, "sh", "-c", `printf %s "$GIVEN"`))
		w.inApp(t, c, "timeout", "60", "sh", "-c",
			`until [ "$(cat '/mnt/secrets/folder/in folder/generated.txt')" = "$0" ]; do sleep 0.2; done`, generated)
		p.pulumi(t, "preview", "--expect-no-changes")
	})
	t.Run("values in state, events and files", func(t *testing.T) {
		state := p.pulumi(t, "stack", "export")
		for name, value := range map[string]string{
			"given": w.given, "generated": generated,
			"bytes": base64.StdEncoding.EncodeToString([]byte(w.bytes)), "raw bytes": w.bytes,
			"digits": hex.EncodeToString([]byte(w.digits)), "bundle": base64.StdEncoding.EncodeToString([]byte(w.bundle)),
			"the key": strings.Split(w.key, "\n")[2],
		} {
			if containsSecret([]byte(state), value) || containsSecret(p.printed.Bytes(), value) {
				t.Errorf("%s is in the state or was printed", name)
			}
			for _, file := range c.filesWith(t, value, "azure") {
				// etcd stores the Secrets, and containerd the variables, that the program asks for.
				synced := slices.Contains([]string{"given", "generated", "the key"}, name)
				if !synced || !strings.Contains(file, "/etcd/") && !strings.Contains(file, "/containerd/") {
					t.Errorf("%s is in %s", name, file)
				}
			}
		}
	})
	t.Run("destroy", func(t *testing.T) {
		p.pulumi(t, "destroy", "--yes", "--skip-preview", "--json")
		// Secrets and keys in an existing vault are retained.
		getSecret(t, secrets, "given")
		for pager := secrets.NewListSecretPropertiesPager(nil); pager.More(); {
			page, err := pager.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range page.Value {
				if name := one.ID.Name(); name != "my-secret" && one.Managed == nil {
					if _, err := secrets.DeleteSecret(t.Context(), name, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for pager := keys.NewListKeyPropertiesPager(nil); pager.More(); {
			page, err := pager.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range page.Value {
				if name := one.KID.Name(); name != "my-key" && one.Managed == nil {
					if _, err := keys.DeleteKey(t.Context(), name, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if after := firstStackSnapshot(t, c, first); after != before {
			t.Errorf("the dev stack changed: now\n%s\nbefore\n%s", after, before)
		}
		c.pulumi(t, "refresh", "--yes", "--skip-preview")
		c.pulumi(t, "preview", "--expect-no-changes")
	})
	if t.Failed() { // down would remove the logs
		return
	}
	t.Run("down without the Azure folder", func(t *testing.T) {
		kill(t, c)
		if err := os.RemoveAll(filepath.Join(c.home, localcloudtest.AzureDir)); err != nil {
			t.Fatal(err)
		}
		c.down(t)
		if left := c.processes(); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	})
}

// workloads has the values that programs/workloads is configured with.
type workloads struct{ given, bytes, digits, bundle, certificate, key string }

func (w *workloads) want(t *testing.T, what, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is not as wanted (values are not shown)", what)
	}
}

func (w *workloads) inApp(t *testing.T, c *cloud, command ...string) string {
	t.Helper()
	return c.kubectl(t, append([]string{"exec", "-n", "team", "deploy/app", "-c", "app", "--"}, command...)...)
}

func (w *workloads) wantInVault(t *testing.T, secrets *azsecrets.Client, keys *azkeys.Client) {
	given, err := secrets.GetSecret(t.Context(), "given", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, "given", w.given, *given.Value)
	w.want(t, "its content type and tag", "text/plain team", *given.ContentType+" "+*given.Tags["owner"])
	generated, err := secrets.GetSecret(t.Context(), "generated", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[A-Z_-]{48}$`).MatchString(*generated.Value) {
		t.Error("the generated value does not have 48 upper-case letters, _ and -")
	}
	attributes := generated.Attributes
	if left := time.Until(*attributes.Expires); left < 89*24*time.Hour || left > 90*24*time.Hour {
		t.Errorf("the generated secret expires in %s, want 90 days", left)
	}
	if !attributes.NotBefore.Equal(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)) || !*attributes.Enabled {
		t.Errorf("the generated secret is valid from %s, enabled: %t; want from 2026-01-01, enabled", attributes.NotBefore,
			*attributes.Enabled)
	}
	if _, err := secrets.GetSecret(t.Context(), "disabled", "", nil); err == nil {
		t.Error("a disabled secret can be read")
	}
	signer, err := keys.GetKey(t.Context(), "signer", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	operations := fmt.Sprint(*signer.Key.KeyOps[0], *signer.Key.KeyOps[1], len(signer.Key.KeyOps))
	if *signer.Key.Crv != azkeys.CurveNameP384 || operations != fmt.Sprint("sign", "verify", 2) ||
		signer.Attributes.Expires == nil {
		t.Errorf("signer has curve %s, operations %s, expiry %v; want P-384, sign and verify, and an expiry", *signer.Key.Crv,
			operations, signer.Attributes.Expires)
	}
	for name, want := range map[string]string{"signer": "P30D", "wrapper": "P90D"} {
		policy, err := keys.GetKeyRotationPolicy(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := json.Marshal(policy.KeyRotationPolicy); !strings.Contains(string(text), want) {
			t.Errorf("the rotation policy of %s is %s, want %s", name, text, want)
		}
	}
	wrapper, err := keys.GetKey(t.Context(), "wrapper", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if bits := len(wrapper.Key.N) * 8; bits != 3072 || *wrapper.Tags["owner"] != "team" {
		t.Errorf("wrapper has %d bits and the tags %v, want 3072 and owner team", bits, wrapper.Tags)
	}
}

func (w *workloads) wantFiles(t *testing.T, c *cloud, generated string) {
	for file, want := range map[string]string{
		"given": w.given, "folder/in folder/generated.txt": generated, "folder/bytes": w.bytes,
		"tls/bundle.pfx": w.bundle,
	} {
		w.want(t, file, want, w.inApp(t, c, "cat", "/mnt/secrets/"+file))
	}
	w.wantPEM(t, w.inApp(t, c, "cat", "/mnt/secrets/tls/bundle.pem"))
	if got := w.inApp(t, c, "cat", "/mnt/secrets/tls/key.pem"); got != w.key+w.certificate {
		t.Error("tls/key.pem is not the key and the certificate")
	}
	if got := w.inApp(t, c, "cat", "/mnt/secrets/tls/cert.pem"); !samePEM(got, w.certificate) {
		t.Error("tls/cert.pem is not the certificate")
	}
	files := w.inApp(t, c, "sh", "-c", "cd /mnt/secrets && find . -follow -type f ! -path './..*' | sort")
	want := strings.Join([]string{
		"./digits", "./folder/bytes", "./folder/in folder/generated.txt", "./given", "./keys/wrapper", "./signer",
		"./tls/bundle.pem", "./tls/bundle.pfx", "./tls/cert.pem", "./tls/key.pem", "",
	}, "\n")
	if files != want {
		t.Errorf("the files are\n%s\nwant\n%s", files, want)
	}
}

// pkcs12 returns the certificate and its key as Key Vault stores certificates that it created.
func (w *workloads) pkcs12(t *testing.T) string {
	t.Helper()
	key, _ := pem.Decode([]byte(w.key))
	certificate, _ := pem.Decode([]byte(w.certificate))
	private, err := parseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := pkcs12.LegacyDES.Encode(private, leaf, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(bundle)
}

// wantPEM checks that a file has the certificate and its key in PEM.
func (w *workloads) wantPEM(t *testing.T, file string) {
	t.Helper()
	of, err := tls.X509KeyPair([]byte(file), []byte(file))
	if err != nil {
		t.Fatalf("the PKCS #12 secret is not mounted as PEM: %v", err)
	}
	if certificate, _ := pem.Decode([]byte(w.certificate)); !slices.Equal(of.Certificate[0], certificate.Bytes) {
		t.Error("the PKCS #12 secret is mounted with another certificate")
	}
}

func (w *workloads) wantSecrets(t *testing.T, c *cloud, given, generated string) {
	type object struct {
		Type     string
		Data     map[string][]byte
		Metadata struct{ Labels, Annotations map[string]string }
	}
	get := func(name string) (o object) {
		if err := json.Unmarshal([]byte(c.kubectl(t, "get", "secret", "-n", "team", name, "--output=json")), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	synced, web := get("synced"), get("web")
	w.want(t, "GIVEN of the Secret", given, string(synced.Data["GIVEN"]))
	w.want(t, "generated of the Secret", generated, string(synced.Data["generated"]))
	if synced.Type != "Opaque" || len(synced.Data) != 2 || synced.Metadata.Labels["owner"] != "team" ||
		synced.Metadata.Annotations["example.com/note"] != "a copy" {
		t.Errorf("the Secret has type %s, %d keys and %v; want Opaque, 2 keys, and the label and annotation", synced.Type,
			len(synced.Data), synced.Metadata)
	}
	block, _ := pem.Decode(web.Data["tls.key"])
	if web.Type != "kubernetes.io/tls" || !samePEM(string(web.Data["tls.crt"]), w.certificate) || block == nil {
		t.Fatal("the TLS Secret has another type or certificate, or no key")
	}
	if _, err := parseKey(block); err != nil {
		t.Errorf("parsing the key of the TLS Secret: %v", err)
	}
}

func (w *workloads) wantEnv(t *testing.T, c *cloud, given, generated string) {
	t.Helper()
	w.want(t, "the variables", given+" "+generated, w.inApp(t, c, "sh", "-c", `printf '%s %s' "$GIVEN" "$GENERATED"`))
}

func (w *workloads) wantAccounts(t *testing.T, c *cloud, first stackOutputs, p *program) {
	var outputs struct{ SharedClientID, OwnClientID, ClusterName, VaultURI string }
	p.outputs(t, &outputs)
	if outputs.SharedClientID != first.ClientID || outputs.OwnClientID == first.ClientID ||
		outputs.ClusterName != first.ClusterName || outputs.VaultURI != first.VaultURI {
		t.Errorf("the outputs are %+v, want the cluster, vault and shared identity of %v", outputs, first)
	}
	w.want(t, "the namespace's labels", "restricted second", c.kubectl(t, "get", "namespace", "team",
		`--output=jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce} {.metadata.labels.team}`))
	w.want(t, "the account's metadata", "worker team "+first.ClientID, c.kubectl(t, "get", "serviceaccount",
		"-n", "team", "worker", `--output=jsonpath={.metadata.labels.role} {.metadata.annotations.example\.com/owner} `+
			`{.metadata.annotations.azure\.workload\.identity/client-id}`))
	w.want(t, "the existing account", "",
		c.kubectl(t, "get", "serviceaccount", "-n", first.Namespace, "default", "--output=jsonpath={.metadata.annotations}"))
	credentials := credentialsOf(t, c, identityOf(t, c, first.ClientID))
	for _, want := range []string{
		first.IssuerURL + " system:serviceaccount:team:worker",
		"https://issuer.example/other/ system:serviceaccount:team:worker",
		first.IssuerURL + " system:serviceaccount:" + first.Namespace + ":default",
		"https://issuer.example/other/ system:serviceaccount:" + first.Namespace + ":default",
	} {
		if !slices.Contains(credentials, want) {
			t.Errorf("the credentials are %q, want %s among them", credentials, want)
		}
	}
}

// firstStackSnapshot returns everything of the first stack that a second stack might change.
func firstStackSnapshot(t *testing.T, c *cloud, first stackOutputs) string {
	t.Helper()
	owner, options, r := c.azure(t)
	var all []string
	resources, err := armresources.NewClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	for pager := resources.NewListByResourceGroupPager("keyvault-demo", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Value {
			tags, _ := json.Marshal(one.Tags)
			all = append(all, *one.ID+" "+string(tags))
		}
	}
	secrets, keys := vaultClients(t, c, first.VaultURI)
	for pager := secrets.NewListSecretPropertiesPager(nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Value {
			all = append(all, string(*one.ID)+" "+latest(t, secrets, one.ID.Name()))
		}
	}
	for pager := keys.NewListKeyPropertiesPager(nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Value {
			all = append(all, string(*one.KID))
		}
	}
	all = append(all, credentialsOf(t, c, identityOf(t, c, first.ClientID))...)
	slices.Sort(all)
	return strings.Join(all, "\n") + "\n" + c.kubectl(t, "get", "namespaces", "--output=name") + podStart(t, c, first) +
		c.kubectl(t, "get", "serviceaccounts,secretproviderclasses.secrets-store.csi.x-k8s.io,secrets,deployments", "-n",
			first.Namespace, "--output=name")
}

// identityOf returns the ARM id of the identity with a client id.
func identityOf(t *testing.T, c *cloud, clientID string) string {
	t.Helper()
	owner, options, r := c.azure(t)
	identities, err := armmsi.NewUserAssignedIdentitiesClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	for pager := identities.NewListByResourceGroupPager("keyvault-demo", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Value {
			if *one.Properties.ClientID == clientID {
				return *one.ID
			}
		}
	}
	t.Fatalf("no identity has the client id %s", clientID)
	return ""
}

// credentialsOf returns issuer and subject of each credential of an identity.
func credentialsOf(t *testing.T, c *cloud, id string) []string {
	t.Helper()
	owner, options, r := c.azure(t)
	credentials, err := armmsi.NewFederatedIdentityCredentialsClient(r.Credentials.SubscriptionID, owner,
		armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for pager := credentials.NewListPager("keyvault-demo", id[strings.LastIndex(id, "/")+1:], nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Value {
			all = append(all, *one.Properties.Issuer+" "+*one.Properties.Subject)
		}
	}
	return all
}

// latest returns a secret's latest version.
func latest(t *testing.T, secrets *azsecrets.Client, name string) string {
	t.Helper()
	secret, err := secrets.GetSecret(t.Context(), name, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return secret.ID.Version()
}

// selfSigned returns a new certificate and its key, both in PEM.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func parseKey(block *pem.Block) (any, error) {
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

func samePEM(a, b string) bool {
	one, _ := pem.Decode([]byte(a))
	other, _ := pem.Decode([]byte(b))
	return one != nil && other != nil && one.Type == other.Type && slices.Equal(one.Bytes, other.Bytes)
}

// samePublicKey checks that a file has the public half of a key in the vault.
func samePublicKey(t *testing.T, inPod string, keys *azkeys.Client, name string) {
	t.Helper()
	inVault, err := keys.GetKey(t.Context(), name, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !samePEM(inPod, string(publicPEM(t, inVault.Key))) {
		t.Errorf("the file of %s is not the public half of the vault's key", name)
	}
}

// publicPEM returns the public half of a key in the vault.
func publicPEM(t *testing.T, k *azkeys.JSONWebKey) []byte {
	t.Helper()
	var public any = &rsa.PublicKey{N: new(big.Int).SetBytes(k.N), E: int(new(big.Int).SetBytes(k.E).Int64())}
	if k.Crv != nil {
		curve := map[azkeys.CurveName]elliptic.Curve{
			azkeys.CurveNameP256: elliptic.P256(), azkeys.CurveNameP384: elliptic.P384(),
		}[*k.Crv]
		point, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, k.X, k.Y))
		if err != nil {
			t.Fatal(err)
		}
		public = point
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
