package tests

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// Azure's roles (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles).
const (
	vaultReader    = "21090545-7ca7-4776-b22c-e363652d74d2" // Key Vault Reader
	secretsUser    = "4633458b-17de-408a-b874-0445c86b69e6" // Key Vault Secrets User
	secretsOfficer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7" // Key Vault Secrets Officer
	cryptoUser     = "12338af0-0e69-4776-bea7-57ae8d297424" // Key Vault Crypto User
	cryptoOfficer  = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603" // Key Vault Crypto Officer

	certificatesOfficer = "a4417e6f-fecd-4de8-b567-7b0420556985" // Key Vault Certificates Officer
)

// TestDev_MountsSecretsAndCleansUp covers the life of the dev stack, from an up that is killed while the node starts
// the pod, and the up that continues it, to destroy. TestScenario_UpKilled covers kills at other resources.
func TestDev_MountsSecretsAndCleansUp(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.project = checkout
	polling := []string{"--config", "rotationPollInterval=2s"}
	killed := false
	if _, _, err := c.watchUp(t, func(printed []byte, kill func()) {
		if !killed && bytes.Contains(printed, []byte("Pod keyvault-demo-mount-test-pod creating")) {
			killed = true
			kill()
		}
	}, polling...); err == nil || !killed {
		t.Fatalf("up while the pod starts: killed: %t, error: %v; want both", killed, err)
	}
	_, lastLine := c.up(t, polling...)
	c.wantGraph(t, "dev")
	outputs := c.outputs(t)
	grant(t, c, outputs.VaultID, secretsOfficer, cryptoUser)
	secrets, keys := vaultClients(t, c, outputs.VaultURI)

	value := getSecret(t, secrets, "my-secret")
	t.Run("secret in the pod", func(t *testing.T) {
		if got := readInPod(t, c, outputs); got != value {
			t.Error("the pod does not read the vault's value")
		}
	})
	t.Run("last line of up", func(t *testing.T) {
		if !strings.Contains(lastLine, "my-secret = "+value) ||
			!strings.Contains(lastLine, "my-key = -----BEGIN PUBLIC KEY-----") {
			t.Error("the last line of up does not show the secret and the key")
		}
	})
	t.Run("deleted pod", func(t *testing.T) {
		c.kubectl(t, "delete", "pod", "-n", outputs.Namespace, "keyvault-test-pod", "--grace-period=0", "--force")
		if _, again := c.up(t, polling...); again != lastLine {
			t.Error("the new pod reads other values")
		}
	})
	t.Run("key in the pod", func(t *testing.T) {
		inPod := c.kubectl(t, "exec", "-n", outputs.Namespace, "keyvault-test-pod", "--", "cat", "/mnt/secrets/my-key")
		sameKey(t, inPod, keys)
	})
	t.Run("second up", func(t *testing.T) {
		// While the file is open, no other file can get its inode.
		program, err := os.Open(filepath.Join(checkout, "bin", "keyvault-aks"))
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		c.pulumi(t, "preview", "--expect-no-changes")
		if _, again := c.up(t, polling...); again != lastLine {
			t.Error("the pod reads other values after a second up")
		}
		before, err := program.Stat()
		now, err2 := os.Stat(program.Name())
		if err := errors.Join(err, err2); err != nil || !os.SameFile(before, now) {
			t.Error("up linked the program again although it has not changed")
		}
	})
	t.Run("denied mounts", func(t *testing.T) { wantDenied(t, c, outputs, secrets) })
	t.Run("new value in the running pod", func(t *testing.T) {
		started := podStart(t, c, outputs)
		value = "rotated-" + rand.Text()
		setSecret(t, secrets, "my-secret", value)
		c.kubectl(t, "exec", "-n", outputs.Namespace, "keyvault-test-pod", "--", "timeout", "120", "sh", "-c",
			`until [ "$(cat /mnt/secrets/my-secret)" = "$0" ]; do sleep 0.2; done`, value)
		if podStart(t, c, outputs) != started {
			t.Error("the pod was restarted")
		}
	})
	t.Run("generated value in the engine's events", func(t *testing.T) {
		const urn = "urn:pulumi:dev::keyvault-aks::keyvaultaks:index:KeyVaultStack" +
			"$random:index/randomPassword:RandomPassword::vault-value-my-secret"
		events := c.pulumi(t, "up", "--yes", "--skip-preview", "--json", "--replace", urn)
		before := value
		if value = getSecret(t, secrets, "my-secret"); value == before {
			t.Fatal("the program did not generate a new value")
		}
		if !strings.Contains(events, "vault-secret-my-secret") {
			t.Fatal("the events do not mention the secret")
		}
		if containsSecret([]byte(events), value) {
			t.Error("an event has the value")
		}
	})
	t.Run("values in state, logs and output", func(t *testing.T) {
		c.pulumi(t, "refresh", "--yes", "--skip-preview")
		for secret, places := range map[string][]string{
			value: {"azure"}, // the vault itself
			// `localcloud env` reads the credentials there.
			c.running(t).Credentials.ClientSecret: {localcloudtest.AzureDir, localcloudtest.StateFile},
		} {
			for _, file := range c.filesWith(t, secret, places...) {
				t.Errorf("a secret is in %s", file)
			}
			if containsSecret(c.printed.Bytes(), secret) {
				t.Error("a secret was printed")
			}
		}
	})
	t.Run("killed local cloud", func(t *testing.T) {
		kill(t, c)
		c.up(t, polling...)
		if got := readInPod(t, c, outputs); got != value {
			t.Error("the pod reads another value than before")
		}
		if again := c.outputs(t); again.VaultName != outputs.VaultName || again.IssuerURL != outputs.IssuerURL {
			t.Errorf("the stack's outputs are %v, want %v as before", again, outputs)
		}
	})
	t.Run("destroy", func(t *testing.T) { wantDestroyed(t, c, outputs) })
}

// grant assigns roles at a scope to the subscription's owner.
func grant(t *testing.T, c *cloud, scope string, roles ...string) {
	t.Helper()
	owner, options, r := c.azure(t)
	assignments, err := armauthorization.NewRoleAssignmentsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	definitions := "/subscriptions/" + r.Credentials.SubscriptionID + "/providers/Microsoft.Authorization/roleDefinitions/"
	for _, role := range roles {
		if _, err := assignments.Create(t.Context(), scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{
			Properties: &armauthorization.RoleAssignmentProperties{
				PrincipalID:      to.Ptr(ownerObjectID(t, assignments, r)),
				PrincipalType:    to.Ptr(armauthorization.PrincipalTypeServicePrincipal),
				RoleDefinitionID: to.Ptr(definitions + role),
			},
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// ownerObjectID returns the principal with the role Owner at the subscription.
func ownerObjectID(t *testing.T, assignments *armauthorization.RoleAssignmentsClient, r localcloudtest.Running) string {
	t.Helper()
	const ownerRole = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	for pager := assignments.NewListForSubscriptionPager(nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Value {
			if strings.HasSuffix(*a.Properties.RoleDefinitionID, ownerRole) &&
				*a.Properties.Scope == "/subscriptions/"+r.Credentials.SubscriptionID {
				return *a.Properties.PrincipalID
			}
		}
	}
	t.Fatal("the subscription has no owner")
	return ""
}

func vaultClients(t *testing.T, c *cloud, uri string) (*azsecrets.Client, *azkeys.Client) {
	t.Helper()
	owner, options, _ := c.azure(t)
	secrets, err := azsecrets.NewClient(uri, owner, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := azkeys.NewClient(uri, owner, &azkeys.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	return secrets, keys
}

// importCertificate imports a certificate and its key, in the content type form, into a vault, and returns its version.
func importCertificate(t *testing.T, c *cloud, uri, name, content, form string) string {
	t.Helper()
	owner, options, _ := c.azure(t)
	certificates, err := azcertificates.NewClient(uri, owner, &azcertificates.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	made, err := certificates.ImportCertificate(t.Context(), name, azcertificates.ImportCertificateParameters{
		Base64EncodedCertificate: &content,
		CertificatePolicy: &azcertificates.CertificatePolicy{
			SecretProperties: &azcertificates.SecretProperties{ContentType: &form},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made.ID.Version()
}

func getSecret(t *testing.T, secrets *azsecrets.Client, name string) string {
	t.Helper()
	secret, err := secrets.GetSecret(t.Context(), name, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return *secret.Value
}

func setSecret(t *testing.T, secrets *azsecrets.Client, name, value string) {
	t.Helper()
	if _, err := secrets.SetSecret(t.Context(), name, azsecrets.SetSecretParameters{Value: &value}, nil); err != nil {
		t.Fatal(err)
	}
}

// readInPod runs the command in the stack's output readSecretCommand.
func readInPod(t *testing.T, c *cloud, outputs stackOutputs) string {
	t.Helper()
	words := strings.Fields(outputs.ReadSecretCommand)
	return c.mustRun(t, words[0], words[1:]...)
}

func podStart(t *testing.T, c *cloud, outputs stackOutputs) string {
	t.Helper()
	return c.kubectl(t, "get", "pod", "-n", outputs.Namespace, "keyvault-test-pod",
		"--output=jsonpath={.metadata.uid} {.status.containerStatuses[0].containerID}")
}

func sameKey(t *testing.T, inPod string, keys *azkeys.Client) {
	t.Helper()
	block, _ := pem.Decode([]byte(inPod))
	if block == nil {
		t.Fatal("the file is not PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.GetKey(t.Context(), "my-key", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok || public.N.Cmp(new(big.Int).SetBytes(key.Key.N)) != 0 {
		t.Error("the file is not the public half of the vault's key")
	}
}

// wantDenied checks that three pods cannot mount a secret, each for another reason.
func wantDenied(t *testing.T, c *cloud, outputs stackOutputs, secrets *azsecrets.Client) {
	setSecret(t, secrets, "other-secret", "not granted "+rand.Text())
	namespace := outputs.Namespace
	roleless := identityWithoutRole(t, c, outputs.IssuerURL, namespace, "roleless")
	class := func(name, clientID, object string) string {
		return fmt.Sprintf(`
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: %s, namespace: %s}
spec:
  provider: azure
  parameters:
    clientID: %s
    keyvaultName: %s
    tenantID: %s
    objects: |
      array:
        - |
          objectName: %s
          objectType: secret
---`, name, namespace, clientID, outputs.VaultName, c.running(t).Credentials.TenantID, object)
	}
	c.apply(t, class("roleless", roleless, "my-secret")+class("not-granted", outputs.ClientID, "other-secret"))
	for _, test := range []struct{ name, account, class, refusal string }{
		{"a service account without a federated credential", "stranger", outputs.SecretProviderClass, "AADSTS700213"},
		{"an identity without a role", "roleless", "roleless", "ForbiddenByRbac"},
		{"an object that was not granted", outputs.ServiceAccounts[0], "not-granted", "ForbiddenByRbac"},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := "refused-" + test.class
			if test.account != outputs.ServiceAccounts[0] {
				const account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: %s}\n"
				c.apply(t, fmt.Sprintf(account, test.account, namespace))
			}
			c.apply(t, readerPod(pod, namespace, test.account, test.class))
			c.wantRefusedMounts(t, namespace, map[string]string{pod: test.refusal})
			phase := c.kubectl(t, "get", "pod", "-n", namespace, pod, "--output=jsonpath={.status.phase}")
			if phase != "Pending" {
				t.Errorf("the pod is %s, want Pending", phase)
			}
			c.kubectl(t, "delete", "pod", "-n", namespace, pod)
		})
	}
}

// identityWithoutRole creates an identity that trusts a service account and has no role.
func identityWithoutRole(t *testing.T, c *cloud, issuer, namespace, account string) (clientID string) {
	t.Helper()
	owner, options, r := c.azure(t)
	factory, err := armmsi.NewClientFactory(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	identity, err := factory.NewUserAssignedIdentitiesClient().CreateOrUpdate(t.Context(), "keyvault-demo", account,
		armmsi.Identity{Location: to.Ptr("eastus")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	credential := armmsi.FederatedIdentityCredential{Properties: &armmsi.FederatedIdentityCredentialProperties{
		Issuer: &issuer, Subject: to.Ptr("system:serviceaccount:" + namespace + ":" + account),
		Audiences: []*string{to.Ptr("api://AzureADTokenExchange")},
	}}
	credentials := factory.NewFederatedIdentityCredentialsClient()
	if _, err := credentials.CreateOrUpdate(t.Context(), "keyvault-demo", account, account, credential, nil); err != nil {
		t.Fatal(err)
	}
	return *identity.Properties.ClientID
}

// kill kills the local cloud and checks that all its processes end with it.
func kill(t *testing.T, c *cloud) {
	t.Helper()
	pid := c.running(t).PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every process ends with the local cloud", func() bool { return len(c.processes()) == 0 })
}

// resourceGroups returns the number of resource groups in the subscription.
func resourceGroups(t *testing.T, c *cloud) int {
	t.Helper()
	owner, options, r := c.azure(t)
	groups, err := armresources.NewResourceGroupsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	page, err := groups.NewListPager(nil).NextPage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Value)
}

// wantDestroyed destroys the stack and checks that nothing is left but the soft-deleted vault.
func wantDestroyed(t *testing.T, c *cloud, outputs stackOutputs) {
	c.pulumi(t, "destroy", "--yes", "--skip-preview")
	owner, options, r := c.azure(t)
	if left := resourceGroups(t, c); left != 0 {
		t.Errorf("%d resource groups are left, want 0", left)
	}
	vaults, err := armkeyvault.NewVaultsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := vaults.NewListDeletedPager(nil).NextPage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(deleted.Value) != 1 || *deleted.Value[0].Name != outputs.VaultName {
		t.Errorf("%d vaults are soft-deleted, want only the stack's", len(deleted.Value))
	}
	c.down(t)
	if left := c.processes(); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if left, _ := filepath.Glob(c.home + "*"); len(left) > 0 {
		t.Errorf("files are left: %q", left)
	}
}
