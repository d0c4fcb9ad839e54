package tests

import (
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

// TestProd_MountsWithLateRoles brings the prod stack up with probes, although the role of the cluster's identity takes
// effect late, and checks its restrictions.
func TestProd_MountsWithLateRoles(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	record := t.TempDir()
	c.upLate(t, lateClusterRole, "--stack", "prod", "--record", record, "--config",
		workloadsWith(t, "prod", "probe: {}", "probe: {}"))
	c.wantGraph(t, "prod", "Deployment api-mount-probe", "Deployment billing-mount-probe")
	outputs := c.outputs(t)
	owner, options, r := c.azure(t)

	t.Run("requests", func(t *testing.T) { wantSent(t, record, "arm-prod.json") })
	t.Run("preview", func(t *testing.T) { c.pulumi(t, "preview", "--expect-no-changes") })
	t.Run("cluster update", func(t *testing.T) {
		c.pulumi(t, "config", "set", "imageCleanerHours", "200")
		plan := c.plan(t)
		c.pulumi(t, "config", "set", "imageCleanerHours", "168")
		for urn, op := range plan {
			if cluster := strings.HasSuffix(urn, "::cluster-cluster"); cluster != (op != "same") {
				t.Errorf("the plan for %s is %s, want only the cluster changed", urn, op)
			}
		}
		if len(plan) == 0 {
			t.Error("the plan is empty")
		}
	})
	t.Run("probes", func(t *testing.T) {
		if len(outputs.Workloads) != 2 {
			t.Errorf("the workloads are %v, want two", outputs.Workloads)
		}
		for name, w := range outputs.Workloads {
			ready := c.kubectl(t, "get", "deployment", "-n", w.Namespace, "keyvault-probe",
				"--output=jsonpath={.status.readyReplicas}")
			if ready != "1" {
				t.Errorf("%s: %q replicas are ready, want 1", name, ready)
			}
		}
	})
	t.Run("kubeconfig", func(t *testing.T) {
		config := c.pulumi(t, "stack", "output", "kubeconfig", "--show-secrets")
		if !strings.Contains(config, "kubelogin") || strings.Contains(config, "client-certificate-data") ||
			strings.Contains(config, r.Credentials.ClientSecret) {
			t.Error("the kubeconfig does not use kubelogin, or has a certificate or secret")
		}
	})
	t.Run("administrator credentials", func(t *testing.T) {
		clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner,
			armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		_, err = clusters.ListClusterAdminCredentials(t.Context(), "keyvault-prod", outputs.ClusterName, nil)
		var refused *azcore.ResponseError
		if !errors.As(err, &refused) || refused.ErrorCode != "BadRequest" ||
			!strings.Contains(err.Error(), "local accounts") {
			t.Errorf("got %v, want BadRequest because local accounts are disabled", err)
		}
	})
	t.Run("vault from outside the network", func(t *testing.T) {
		grant(t, c, outputs.VaultID, secretsOfficer)
		secrets, _ := vaultClients(t, c, outputs.VaultURI)
		_, err := secrets.GetSecret(t.Context(), "my-secret", "", nil)
		var refused *azcore.ResponseError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "ForbiddenByConnection") {
			t.Errorf("got %v, want ForbiddenByConnection", err)
		}
	})
	t.Run("unrestricted pod", func(t *testing.T) {
		_, err := c.run(t, "", "kubectl", "run", "--namespace", outputs.Namespace, "--image=busybox:1.35.0", "loose", "--",
			"sleep", "1")
		if err == nil || !strings.Contains(err.Error(), "PodSecurity") {
			t.Errorf("got %v, want an error of PodSecurity", err)
		}
	})
	t.Run("no role in the cluster", func(t *testing.T) {
		assignments, err := armauthorization.NewRoleAssignmentsClient(r.Credentials.SubscriptionID, owner,
			armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		taken := clusterAdmin(t, assignments)
		if _, err := assignments.DeleteByID(t.Context(), *taken.ID, nil); err != nil {
			t.Fatal(err)
		}
		defer func() {
			p := taken.Properties
			if _, err := assignments.CreateByID(t.Context(), *taken.ID, armauthorization.RoleAssignmentCreateParameters{
				Properties: &armauthorization.RoleAssignmentProperties{
					PrincipalID: p.PrincipalID, PrincipalType: p.PrincipalType, RoleDefinitionID: p.RoleDefinitionID,
				},
			}, nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the role takes effect again", func() bool {
				_, err := c.run(t, "", "kubectl", "get", "pods", "--namespace", outputs.Namespace)
				return err == nil
			})
		}()
		eventually(t, "kubectl is forbidden", func() bool { // the API server caches decisions for a second
			_, err := c.run(t, "", "kubectl", "get", "pods", "--namespace", outputs.Namespace)
			return err != nil && strings.Contains(err.Error(), "Forbidden")
		})
	})
	t.Run("second stack", func(t *testing.T) {
		p := newProgram(t, c, ".", map[string]string{
			"resourceGroupName": "second",
			"existingVaultId":   outputs.VaultID,
			"existingClusterId": outputs.ClusterID,
			"entra":             `{"login":"spn"}`,
			"secrets":           "[]",
			"keys":              "[]",
			// Without access, because the lock on the vault would prevent the role's deletion.
			"workloads": secondWorkload(`"mount":[{"type":"secret","name":"my-secret"}],"access":"none"`),
		})
		p.up(t)
		c.kubectl(t, "get", "secretproviderclass", "--namespace", "second", "second")
		p.pulumi(t, "destroy", "--yes", "--skip-preview")
		p.pulumi(t, "stack", "rm", "--yes")
	})
	t.Run("destroy", func(t *testing.T) {
		// Pulumi checks protection before it deletes anything.
		_, err := c.run(t, "", "pulumi", "destroy", "--yes", "--non-interactive")
		if err == nil || !strings.Contains(err.Error(), "protect") {
			t.Errorf("got %v, want an error about protected resources", err)
		}
		c.pulumi(t, "preview", "--expect-no-changes")
		if again := c.outputs(t); again.VaultName != outputs.VaultName {
			t.Errorf("the vault is %s, want %s", again.VaultName, outputs.VaultName)
		}
	})
}

// clusterAdmin returns the assignment of the role with which the stack's owner manages Kubernetes objects.
func clusterAdmin(t *testing.T, assignments *armauthorization.RoleAssignmentsClient) *armauthorization.RoleAssignment {
	t.Helper()
	const role = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b" // Azure Kubernetes Service RBAC Cluster Admin
	for pager := assignments.NewListForSubscriptionPager(nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Value {
			if strings.HasSuffix(*a.Properties.RoleDefinitionID, role) {
				return a
			}
		}
	}
	t.Fatal("no principal has the role Azure Kubernetes Service RBAC Cluster Admin")
	return nil
}
