package tests

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestExistingResourceGroup_IsNotChanged brings a stack with most options up in somebody else's resource group, which
// has a tag and a locked resource, and destroys it. The group must not change.
func TestExistingResourceGroup_IsNotChanged(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	config := []string{
		"--node=stand-in",
		"--config", "resourceGroupName=landing-zone",
		"--config", "entra={login: spn}",
		"--config", "logRetentionDays=30",
		"--config", "containerInsights=true",
		"--config", "network={addressSpace: 10.10.0.0/16, nodes: 10.10.0.0/20, endpoints: 10.10.16.0/24}",
	}
	printed, _, err := c.tryUp(t, append(config, "--config", "existingResourceGroup=true")...)
	if err == nil || !strings.Contains(printed, "existingResourceGroup") ||
		!strings.Contains(printed, "ResourceGroupNotFound") {
		t.Fatalf("up without the group: got %v, want ResourceGroupNotFound\n%s", err, printed)
	}
	if made := c.listed(t); len(made) > 0 {
		t.Fatalf("up without the group created %v", made)
	}

	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	group := subscription + "/resourceGroups/landing-zone"
	theirs := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/theirs"
	lock := theirs + "/providers/Microsoft.Authorization/locks/theirs"
	c.arm(t, http.MethodPut, group, "2022-09-01", `{"location":"westeurope","tags":{"owner":"platform"}}`)
	c.arm(t, http.MethodPut, theirs, "2023-01-31", `{"location":"westeurope","tags":{"owner":"platform"}}`)
	c.arm(t, http.MethodPut, lock, "2020-05-01", `{"properties":{"level":"CanNotDelete"}}`)
	type things struct{ Group, Theirs, Lock, Listed, Roles, Settings any }
	there := func() things {
		return things{
			Group:  c.arm(t, http.MethodGet, group, "2022-09-01", ""),
			Theirs: c.arm(t, http.MethodGet, theirs, "2023-01-31", ""),
			Lock:   c.arm(t, http.MethodGet, lock, "2020-05-01", ""),
			Listed: slices.DeleteFunc(c.resources(t), func(id string) bool { // a deleted vault is kept for seven days
				return strings.Contains(id, "/deletedvaults/")
			}),
			Roles: c.arm(t, http.MethodGet, subscription+"/providers/Microsoft.Authorization/roleAssignments", "2022-04-01", ""),
			Settings: c.arm(t, http.MethodGet, group+"/providers/Microsoft.Insights/diagnosticSettings", "2021-05-01-preview",
				""),
		}
	}
	before := there()

	printed, _, err = c.tryUp(t, append(config, "--config", "existingResourceGroup=false")...)
	if err == nil || !strings.Contains(printed, "existingResourceGroup") {
		t.Errorf("up with existingResourceGroup=false: got %v, want an error that names the key\n%s", err, printed)
	}
	if after := there(); !reflect.DeepEqual(before, after) {
		t.Errorf("after up with existingResourceGroup=false there is\n%v\nwant\n%v", after, before)
	}

	config = append(config, "--config", "existingResourceGroup=true")
	_, last := c.up(t, config...)
	if !strings.Contains(last, "my-secret = ") {
		t.Error("the pod does not read the secret")
	}
	c.pulumi(t, "preview", "--expect-no-changes")
	c.up(t, config...)
	c.pulumi(t, "preview", "--refresh", "--expect-no-changes")
	if now := there(); !reflect.DeepEqual(before.Group, now.Group) || !reflect.DeepEqual(before.Theirs, now.Theirs) ||
		reflect.DeepEqual(before.Listed, now.Listed) {
		t.Errorf("up changed the group or its resource, or created nothing: now\n%v\nbefore\n%v", now, before)
	}
	c.pulumi(t, "destroy", "--yes", "--skip-preview")
	if after := there(); !reflect.DeepEqual(before, after) {
		t.Errorf("after destroy there is\n%v\nwant\n%v", after, before)
	}
}
