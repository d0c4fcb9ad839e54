package tests

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// recorded is a request on the local cloud's record.
type recorded struct {
	Number                       int
	Service, Method, Path, Error string
	Status                       int
	Caller                       struct{ Name, Kind, Subject string }
	Decision                     struct {
		Allowed                         bool
		Action, Scope, Role, AssignedAt string
		Missing, Because                string
		Candidates                      []string
	}
}

// shown reads what the owner of the local cloud is shown, and proves that none of the secrets is in it.
func (c *cloud) shown(t *testing.T, path string, into any, secrets ...string) {
	t.Helper()
	status, text := c.control(t, http.MethodGet, path, "")
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, text)
	}
	for _, secret := range append(secrets, c.running(t).Credentials.ClientSecret) {
		if containsSecret(text, secret) {
			t.Errorf("GET %s shows a secret", path)
		}
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("GET %s: %v: %s", path, err, text)
	}
}

// TestActivity_SaysWhyAMountIsAllowedOrRefused follows a secret to a pod by what the local cloud says of it, before and
// after the role is taken away.
func TestActivity_SaysWhyAMountIsAllowedOrRefused(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--config", "rotationPollInterval=2s")
	outputs := c.outputs(t)
	subject := "system:serviceaccount:" + outputs.Namespace + ":" + outputs.ServiceAccounts[0]
	scope := outputs.VaultID + "/secrets/my-secret"
	role := c.resourceNamed(t, "keyvault-demo-mount-role-secret-my-secret").ID
	grant(t, c, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, c, outputs.VaultURI)
	value := getSecret(t, secrets, "my-secret")

	after := 0
	// next waits for a request that the mount makes.
	next := func(what string, is func(recorded) bool) (found recorded) {
		t.Helper()
		eventually(t, what, func() bool {
			var page struct {
				Next     int
				Requests []recorded
			}
			c.shown(t, "/activity?wait=5s&after="+strconv.Itoa(after), &page, value)
			after = page.Next
			i := slices.IndexFunc(page.Requests, is)
			if i >= 0 {
				found = page.Requests[i]
			}
			return i >= 0
		})
		return found
	}
	signIn := next("the pod's service account signs in", func(r recorded) bool {
		return r.Service == "Entra ID" && r.Method == http.MethodPost && r.Caller.Subject == subject
	})
	if !signIn.Decision.Allowed || !strings.HasPrefix(signIn.Decision.Because, "federated credential ") {
		t.Errorf("sign in: %+v", signIn)
	}
	reads := func(r recorded) bool {
		return r.Service == "Key Vault" && strings.HasPrefix(r.Path, "/secrets/my-secret") && r.Caller.Subject == subject
	}
	after = signIn.Number
	read := next("the secret is read", reads)
	d := read.Decision
	if read.Status != http.StatusOK || !d.Allowed || d.Role != "Key Vault Secrets User" ||
		!strings.EqualFold(d.AssignedAt, scope) || !strings.EqualFold(d.Scope, scope) ||
		read.Caller.Kind != "managed identity" || read.Caller.Name != signIn.Caller.Name {
		t.Errorf("read: %+v", read)
	}

	var mounts struct {
		Mounts []struct {
			Pod, ServiceAccount, Message string
			Mounted                      bool
			Objects                      []struct{ ID, Version string }
		}
		Rotations []struct{ Pod, Object, From, To string }
	}
	c.shown(t, "/mounts", &mounts, value)
	before := latest(t, secrets, "my-secret")
	if len(mounts.Mounts) != 1 || !mounts.Mounts[0].Mounted ||
		mounts.Mounts[0].ServiceAccount != outputs.ServiceAccounts[0] ||
		len(mounts.Mounts[0].Objects) != 2 {
		t.Fatalf("mounts: %+v", mounts)
	}
	const rotated = "rotated0value"
	setSecret(t, secrets, "my-secret", rotated)
	eventually(t, "the rotation is seen", func() bool {
		c.shown(t, "/mounts", &mounts, value, rotated)
		return len(mounts.Rotations) > 0
	})
	now := latest(t, secrets, "my-secret")
	if got := mounts.Rotations[0]; got.Object != "secret/my-secret" || got.From != before || got.To != now {
		t.Errorf("rotation: %+v", got)
	}

	type resource struct{ ID, Parent, Role string }
	var resources struct{ Resources []resource }
	c.shown(t, "/resources", &resources, value, rotated)
	i := slices.IndexFunc(resources.Resources, func(r resource) bool { return strings.EqualFold(r.ID, role) })
	if i < 0 || !strings.EqualFold(resources.Resources[i].Parent, scope) || resources.Resources[i].Role != d.Role {
		t.Errorf("the role assignment among %d resources: %d", len(resources.Resources), i)
	}

	c.arm(t, http.MethodDelete, role, "2022-04-01", "")
	c.apply(t, readerPod("refused", outputs.Namespace, outputs.ServiceAccounts[0], outputs.SecretProviderClass))
	refused := next("the secret is refused", func(r recorded) bool { return reads(r) && r.Status != http.StatusOK })
	d = refused.Decision
	if refused.Status != http.StatusForbidden || refused.Error != "ForbiddenByRbac" || d.Allowed || d.Missing == "" ||
		d.Action != "Microsoft.KeyVault/vaults/secrets/getSecret/action" || !strings.EqualFold(d.Scope, scope) ||
		len(d.Candidates) == 0 || d.Candidates[0] != "Key Vault Secrets User" {
		t.Errorf("refused: %+v", refused)
	}
	eventually(t, "the mount that fails is seen", func() bool {
		c.shown(t, "/mounts", &mounts, value, rotated)
		for _, mount := range mounts.Mounts {
			if mount.Pod == "refused" && !mount.Mounted && strings.Contains(mount.Message, "ForbiddenByRbac") {
				return true
			}
		}
		return false
	})
}
