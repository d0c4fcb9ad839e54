package components_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/components"
)

const (
	secretsUser = "4633458b-17de-408a-b874-0445c86b69e6"
	reader      = "21090545-7ca7-4776-b22c-e363652d74d2"
)

func TestSecretMount_AssignsLeastRoles(t *testing.T) {
	onObjects := map[string][2]string{
		"mount-role-secret-my-secret": {"/secrets/my-secret", secretsUser},
		"mount-role-key-my-key":       {"/keys/my-key", reader},
		"mount-role-cert-my-cert":     {"/certificates/my-cert", reader},
	}
	for name, test := range map[string]struct {
		access  components.Access
		objects []components.ObjectType // those of mountArgs if left out
		want    map[string][2]string
	}{
		"left out": {access: "", want: onObjects},
		"object":   {access: "object", want: onObjects},
		"vault": {access: "vault", want: map[string][2]string{
			"mount-role-vault-secrets-user": {"", secretsUser},
			"mount-role-vault-reader":       {"", reader},
		}},
		"vault for secrets only": {access: "vault", objects: []components.ObjectType{"secret"}, want: map[string][2]string{
			"mount-role-vault-secrets-user": {"", secretsUser},
		}},
		// An identity that may read keys and certificates must not be able to read secrets.
		"vault without secrets": {access: "vault", objects: []components.ObjectType{"key", "cert"},
			want: map[string][2]string{
				"mount-role-vault-reader": {"", reader},
			}},
		"none": {access: "none", want: map[string][2]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			args := mountArgs()
			args.Access = test.access
			if test.objects != nil {
				args.Objects = slices.DeleteFunc(args.Objects, func(o components.ObjectArgs) bool {
					return !slices.Contains(test.objects, o.Type)
				})
			}
			// An object that is mounted twice, even with its history, needs one role.
			again := args.Objects[0]
			again.Name, again.Alias, again.VersionHistory = strings.ToUpper(again.Name), "again", 5
			args.Objects = append(args.Objects, again)
			wantRoles(t, args, test.want)
		})
	}
}

// wantRoles checks that the mount assigns exactly these roles, by scope after the vault's id.
func wantRoles(t *testing.T, args *components.SecretMountArgs, want map[string][2]string) {
	t.Helper()
	const definitions = "/subscriptions/22222222-2222-2222-2222-222222222222/providers/Microsoft.Authorization/roleDefinitions/"
	count := 0
	for _, one := range runMount(t, args).Resources() {
		if one.Type != "azure-native:authorization/v20220401:RoleAssignment" {
			continue
		}
		count++
		wantInputs(t, one, map[string]any{
			"scope":            vaultID + want[one.Name][0],
			"roleDefinitionId": definitions + want[one.Name][1],
			"principalId":      "principal",
			"principalType":    "ServicePrincipal",
		})
	}
	if count != len(want) {
		t.Errorf("%d roles are assigned, want %d", count, len(want))
	}
}

func TestSecretMount_LogsListingOfVersions(t *testing.T) {
	for access, want := range map[components.Access]string{
		"": "lets it list", "vault": "lets it list", "none": "must be allowed to list",
	} {
		args := mountArgs()
		args.TestPod, args.ServiceAccountName, args.Access = nil, nil, access
		if access == "none" {
			args.VaultID, args.PrincipalID = nil, nil
		}
		args.Objects = []components.ObjectArgs{{Type: "key", Name: "latest"}, {Type: "key", Name: "old", VersionHistory: 2}}
		said := strings.Join(runMount(t, args).Infos(), "\n")
		if !strings.Contains(said, want) || !strings.Contains(said, "key old") || strings.Contains(said, "key latest") {
			t.Errorf("with access %q it says %q", access, said)
		}
	}
	args := mountArgs()
	args.Objects = []components.ObjectArgs{{Type: "key", Name: "latest"}}
	if said := runMount(t, args).Infos(); len(said) > 0 {
		t.Errorf("without a history it says %q", said)
	}
}
