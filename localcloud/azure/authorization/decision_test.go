package authorization

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	aVault     = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v"
	aSecret    = aVault + "/secrets/a"
	getSecret  = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
	userID     = "4633458b-17de-408a-b874-0445c86b69e6"
	officerID  = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
	condition  = "(@Request[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAnyValues:GuidEquals {%s})"
	somebodyID = "11111111-1111-4111-8111-111111111111"
)

// decided is what Decide says of p, after assignments were made in a store of its own.
func decided(t *testing.T, action string, plane Plane, groups []string, assignments ...Assignment) Decision {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var d Decision
	if err := st.Update(func(tx *store.Tx) error {
		for i, a := range assignments {
			a.ID = fmt.Sprintf("%s/%d", a.Scope, i)
			if a.PrincipalID == "" {
				a.PrincipalID = "p"
			}
			if err := Put(tx, a); err != nil {
				return err
			}
		}
		d, err = Decide(tx, "p", aSecret, plane, About{Action: action})
		if err == nil && !d.Allowed {
			err = d.OfGroups(tx, groups, plane)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDecide_NamesTheAssignmentThatAllows(t *testing.T) {
	d := decided(t, getSecret, Data, nil,
		Assignment{RoleID: officerID, Scope: aVault + "/secrets/b"},
		Assignment{RoleID: userID, Scope: strings.ToUpper(aVault)},
	)
	if !d.Allowed || d.Role != "Key Vault Secrets User" || d.AssignedAt != strings.ToUpper(aVault) ||
		d.Assignment != strings.ToUpper(aVault)+"/1" || d.Scope != aSecret || d.Action != getSecret || d.Plane != "data" ||
		d.Missing != "" || d.Candidates != nil || d.Others != nil || d.Pending != nil {
		t.Errorf("%+v", d)
	}
}

func TestDecide_SaysWhyAnAssignmentIsOfNoUse(t *testing.T) {
	later := time.Now().Add(time.Hour).UTC()
	d := decided(t, getSecret, Data, []string{"friends"},
		Assignment{RoleID: userID, Scope: aVault + "/secrets/b"},
		Assignment{RoleID: userID, Scope: aVault, Condition: fmt.Sprintf(condition, somebodyID)},
		Assignment{RoleID: userID, Scope: aSecret, EffectiveOn: later},
		Assignment{RoleID: userID, Scope: aVault, PrincipalID: "friends"},
		Assignment{RoleID: OwnerID, Scope: "/subscriptions/s"}, // has no data action
	)
	if d.Allowed || d.Missing != NoAssignment || d.Role != "" {
		t.Errorf("%+v", d)
	}
	if len(d.Pending) != 1 || d.Pending[0].Role != "Key Vault Secrets User" || d.Pending[0].AssignedAt != aSecret ||
		!d.Pending[0].EffectiveOn.Equal(later) {
		t.Errorf("pending %+v", d.Pending)
	}
	var why []string
	for _, other := range d.Others {
		why = append(why, other.AssignedAt+" "+other.Why)
	}
	slices.Sort(why)
	if want := []string{
		aVault + " it is of the group friends, and assignments of groups do not count here",
		aVault + " its condition does not hold",
		aVault + "/secrets/b it is assigned at another scope",
	}; !slices.Equal(why, want) {
		t.Errorf("others\n%s\nwant\n%s", strings.Join(why, "\n"), strings.Join(want, "\n"))
	}
}

func TestDecide_ListsAFewOfMany(t *testing.T) {
	var many []Assignment
	for i := range 20 {
		many = append(many,
			Assignment{RoleID: userID, Scope: fmt.Sprintf("%s/secrets/b%d", aVault, i)},
			Assignment{RoleID: userID, Scope: aSecret, EffectiveOn: time.Now().Add(time.Hour)})
	}
	d := decided(t, getSecret, Data, nil, many...)
	if len(d.Others) != most || len(d.Pending) != most {
		t.Errorf("%d others, %d pending", len(d.Others), len(d.Pending))
	}
}

// TestCandidates_BeginWithTheLeast compares with what Azure's documentation recommends for each.
func TestCandidates_BeginWithTheLeast(t *testing.T) {
	const (
		vaults         = "Microsoft.KeyVault/vaults/"
		clusters       = "Microsoft.ContainerService/managedClusters/"
		vaultAdmin     = "Key Vault Administrator"
		encryptionUser = "Key Vault Crypto Service Encryption User"
		clusterAdmin   = "Azure Kubernetes Service RBAC Cluster Admin"
	)
	for action, want := range map[string]struct {
		plane       Plane
		first, last string
	}{
		getSecret:                                               {Data, "Key Vault Secrets User", vaultAdmin},
		vaults + "keys/unwrap/action":                           {Data, encryptionUser, vaultAdmin},
		vaults + "secrets/setSecret/action":                     {Data, "Key Vault Secrets Officer", vaultAdmin},
		vaults + "write":                                        {Control, "Key Vault Contributor", "Owner"},
		clusters + "pods/read":                                  {Data, "Azure Kubernetes Service RBAC Reader", clusterAdmin},
		clusters + "secrets/read":                               {Data, "Azure Kubernetes Service RBAC Writer", clusterAdmin},
		"Microsoft.Authorization/roleAssignments/write":         {Control, "User Access Administrator", "Owner"},
		"Microsoft.Network/virtualNetworks/subnets/join/action": {Control, "Network Contributor", "Owner"},
	} {
		got := Candidates(action, want.plane)
		if len(got) == 0 || len(got) > most || got[0] != want.first || got[len(got)-1] != want.last {
			t.Errorf("%s: %q", action, got)
		}
	}
	if got := Candidates("Microsoft.Nothing/knows/it", Data); got != nil {
		t.Errorf("%q", got)
	}
}
