package tests

import (
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

// TestProd brings the prod stack up, with the Deployment that shows that mounts work.
func TestProd(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	record := t.TempDir()
	c.up(t, "--stack", "prod", "--record", record, "--config", "probe=true")
	outputs := c.outputs(t)
	owner, options, r := c.azure(t)

	t.Run("Azure is sent what the golden file says", func(t *testing.T) { wantSent(t, record, "arm-prod.json") })
	t.Run("a second up changes nothing", func(t *testing.T) { c.pulumi(t, "preview", "--expect-no-changes") })
	t.Run("a change of the cluster is planned to touch nothing in it", func(t *testing.T) {
		c.pulumi(t, "config", "set", "imageCleanerHours", "200")
		plan := c.plan(t)
		c.pulumi(t, "config", "set", "imageCleanerHours", "168")
		for urn, op := range plan {
			if cluster := strings.HasSuffix(urn, "::cluster-cluster"); cluster != (op != "same") {
				t.Errorf("%s: %s", op, urn)
			}
		}
		if len(plan) == 0 {
			t.Error("there is no plan")
		}
	})
	t.Run("the probe has mounted every file", func(t *testing.T) {
		ready := c.kubectl(t, "get", "deployment", "-n", outputs["namespace"], "keyvault-probe", "--output=jsonpath={.status.readyReplicas}")
		if ready != "1" {
			t.Errorf("%q replicas are ready", ready)
		}
	})
	t.Run("Azure decides who may do what in the cluster", func(t *testing.T) {
		config := c.pulumi(t, "stack", "output", "kubeconfig", "--show-secrets")
		if !strings.Contains(config, "kubelogin") || strings.Contains(config, "client-certificate-data") || strings.Contains(config, r.Credentials.ClientSecret) {
			t.Error("the kubeconfig is not one that signs in with Entra ID alone")
		}
	})
	t.Run("nobody gets a certificate of the cluster's administrator", func(t *testing.T) {
		clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner, armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clusters.ListClusterAdminCredentials(t.Context(), "keyvault-prod", outputs["clusterName"], nil); err == nil {
			t.Error("it was given")
		}
	})
	t.Run("nobody outside the network reads the vault, whatever the role", func(t *testing.T) {
		grant(t, c, outputs["vaultId"], secretsOfficer)
		secrets, _ := vaultClients(t, c, outputs["vaultUri"])
		_, err := secrets.GetSecret(t.Context(), "my-secret", "", nil)
		var refused *azcore.ResponseError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "ForbiddenByConnection") {
			t.Errorf("got %v, want ForbiddenByConnection", err)
		}
	})
	t.Run("a restricted namespace takes no other pod", func(t *testing.T) {
		_, err := c.run(t, "", "kubectl", "run", "--namespace", outputs["namespace"], "--image=busybox:1.35.0", "loose", "--", "sleep", "1")
		if err == nil || !strings.Contains(err.Error(), "PodSecurity") {
			t.Errorf("got %v, want a refusal by Pod Security", err)
		}
	})
	t.Run("a destroy is refused", func(t *testing.T) {
		if _, err := c.run(t, "", "pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive"); err == nil {
			t.Error("it was done")
		}
		if again := c.outputs(t); again["vaultName"] != outputs["vaultName"] {
			t.Error("the vault is another one")
		}
	})
}
