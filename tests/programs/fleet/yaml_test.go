package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestYAMLProgram_MatchesGo checks that the YAML program has the identities, accounts, roles and classes that the Go
// program registers. The benchmark compares the resulting stacks, also with TypeScript.
func TestYAMLProgram_MatchesGo(t *testing.T) {
	var read struct {
		Resources map[string]struct {
			Type, Name string
			Properties struct {
				ClassName          string                  `yaml:"className"`
				ServiceAccounts    []struct{ Name string } `yaml:"serviceAccounts"`
				Objects            []struct{ Type, Name string }
				Secrets            []struct{ Name string }
				ServiceAccountName string `yaml:"serviceAccountName"`
				PrincipalID        string `yaml:"principalId"`
			}
		}
	}
	if err := yaml.Unmarshal([]byte(yamlProgram(testWorkloads)), &read); err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{} // by the components' names
	for key, r := range read.Resources {
		switch r.Type {
		case "keyvaultaks:WorkloadIdentity":
			for _, account := range r.Properties.ServiceAccounts {
				made[r.Name+"-account-namespace_"+account.Name] = true
			}
		case "keyvaultaks:SecretMount":
			of := "${" + strings.Replace(key, "mount", "identity", 1) + "."
			if !strings.HasPrefix(r.Properties.PrincipalID, of) || !strings.HasPrefix(r.Properties.ServiceAccountName, of) {
				t.Errorf("%s has principal %s and account %s, want those of %s}", key, r.Properties.PrincipalID,
					r.Properties.ServiceAccountName, of)
			}
			made[r.Name+"-class"] = true
			for _, object := range r.Properties.Objects {
				made[r.Name+"-role-"+object.Type+"-"+object.Name] = true
			}
		case "keyvaultaks:KeyVaultStack":
			for _, secret := range r.Properties.Secrets {
				made["vault-secret-"+secret.Name] = true
			}
		}
	}
	with, _ := registered(t, false, false)
	want := map[string]bool{}
	for _, one := range with {
		for _, kind := range []string{"-role-", "-account-", "-class", "vault-secret-"} {
			if strings.Contains(one.Name, kind) {
				want[one.Name] = true
			}
		}
	}
	if !maps.Equal(made, want) || len(want) != secretCount+5*testWorkloads {
		t.Errorf("the YAML program has %d resources\n%s\nwant the Go program's %d\n%s", len(made),
			strings.Join(slices.Sorted(maps.Keys(made)), "\n"), len(want), strings.Join(slices.Sorted(maps.Keys(want)), "\n"))
	}
	last := read.Resources["mount-"+strconv.Itoa(testWorkloads-1)].Properties.ClassName
	if want := workloadName(testWorkloads - 1); last != want {
		t.Errorf("the last class is %q, want %q", last, want)
	}
}
