package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// fleetSize is the number of workloads in the configuration, and fleetSecrets the number of secrets that they mount.
const fleetSize, fleetSecrets = 50, 10

// fleetWorkload is a workload in the configuration. Its namespace has its name.
type fleetWorkload struct {
	name    string
	secrets []string // one or two; see file
	pod     bool
}

func (w fleetWorkload) file(i int) string {
	if i == 0 {
		return w.secrets[i]
	}
	return "more/" + w.secrets[i]
}

// fleetOf returns workloads. Several mount each secret.
func fleetOf(size int) (fleet []fleetWorkload) {
	secret := func(i int) string { return fmt.Sprintf("secret-%02d", i%fleetSecrets) }
	for i := range size {
		w := fleetWorkload{name: fmt.Sprintf("app-%02d", i), secrets: []string{secret(i)}, pod: i%5 == 0}
		if i%3 == 1 {
			w.secrets = append(w.secrets, secret(i+1+i/fleetSecrets))
		}
		fleet = append(fleet, w)
	}
	return fleet
}

// writeFleet writes the configuration of the stack fleet.
func (c *cloud) writeFleet(t *testing.T, fleet []fleetWorkload) {
	t.Helper()
	type object = map[string]any
	var secrets, workloads []object
	for i := range fleetSecrets {
		secrets = append(secrets, object{"name": fmt.Sprintf("secret-%02d", i), "generate": object{"length": 24}})
	}
	for _, w := range fleet {
		var mount []object
		for i, secret := range w.secrets {
			mount = append(mount, object{"type": "secret", "name": secret, "alias": w.file(i)})
		}
		one := object{"name": w.name, "namespace": w.name, "serviceAccounts": []object{{"name": w.name}}, "mount": mount}
		if w.pod {
			one["testPod"] = object{}
		}
		workloads = append(workloads, one)
	}
	content, err := yaml.Marshal(object{"config": object{
		"keyvault-aks:vaultRetentionDays": 7, "keyvault-aks:secrets": secrets, "keyvault-aks:workloads": workloads,
	}})
	if err == nil {
		err = os.WriteFile(filepath.Join(c.project, "Pulumi.fleet.yaml"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestWorkloads_RemovesOneOfFifty brings up fifty workloads, each in its own namespace, and removes one from the middle
// of the list. All it had must be deleted in Azure, in the cluster and in the state, and nothing else may change.
func TestWorkloads_RemovesOneOfFifty(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	fleet := fleetOf(fleetSize)
	c.writeFleet(t, fleet)
	begin := time.Now()
	c.up(t, "--node=stand-in", "--stack", "fleet")
	t.Logf("fifty workloads came up in %s", time.Since(begin).Round(time.Second))

	grant(t, c, c.outputs(t).VaultID, secretsOfficer)

	t.Run("fifty", func(t *testing.T) {
		c.wantFleet(t, fleet)
		c.wantComplete(t)
	})
	before := c.fleetSnapshot(t)
	out := fleet[fleetSize/2]
	rest := slices.DeleteFunc(slices.Clone(fleet), func(w fleetWorkload) bool { return w.name == out.name })

	t.Run("remove one", func(t *testing.T) {
		if !out.pod || len(out.secrets) != 2 {
			t.Fatalf("%s has no pod or not two secrets, so the test proves less", out.name)
		}
		c.writeFleet(t, rest)
		begin := time.Now()
		printed, _ := c.up(t, "--stack", "fleet")
		t.Logf("removing one took %s", time.Since(begin).Round(time.Second))
		// Two components, the identity with its credential and two roles, namespace, account, class and pod.
		want := regexp.MustCompile(`^Resources:\n +- 10 deleted\n +\d+ unchanged\n$`)
		if summary := regexp.MustCompile(`Resources:\n( {4}.*\n)+`).FindString(printed); !want.MatchString(summary) {
			t.Errorf("up reports %s, want 10 deleted", summary)
		}
		wantGone(t, before, c.fleetSnapshot(t), out.name)
	})
	t.Run("the others", func(t *testing.T) {
		c.wantFleet(t, rest)
		c.wantComplete(t)
	})
}

// wantFleet checks that each workload's identity may read its secrets and nothing else and trusts its account only,
// that its class names this identity, and that its pod, if it has one, has the secrets and no other files.
func (c *cloud) wantFleet(t *testing.T, fleet []fleetWorkload) {
	t.Helper()
	outputs := c.outputs(t)
	if len(outputs.Workloads) != len(fleet) {
		t.Errorf("the outputs have %d workloads, want %d", len(outputs.Workloads), len(fleet))
	}
	vault, _ := vaultClients(t, c, outputs.VaultURI)
	identities, clients := fleetIdentities(t, c), c.classClients(t)
	for _, w := range fleet {
		identity := identities[w.name]
		wantGranted(t, identity, slices.Sorted(slices.Values(w.secrets)), outputs.VaultID)
		want := []string{outputs.IssuerURL + " system:serviceaccount:" + w.name + ":" + w.name}
		if got := credentialsOf(t, c, identity.id); !slices.Equal(got, want) {
			t.Errorf("the identity of %s trusts %q, want %q", w.name, got, want)
		}
		is := outputs.Workloads[w.name]
		if is.ClientID != identity.clientID || is.Namespace != w.name ||
			clients[w.name+"/"+is.SecretProviderClass] != identity.clientID {
			t.Errorf("%s has the outputs %+v and a class for %s, want namespace %s and client %s", w.name, is,
				clients[w.name+"/"+is.SecretProviderClass], w.name, identity.clientID)
		}
		volumes, _ := filepath.Glob(
			filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", w.name, "keyvault-test-pod", "*"),
		)
		if pod := len(volumes) == 1; pod != w.pod {
			t.Errorf("%s has the volumes %q, want one: %t", w.name, volumes, w.pod)
		} else if !pod {
			continue
		}
		files := filesIn(t, volumes[0])
		if len(files) != len(w.secrets) {
			t.Errorf("%s has %d files, want %d", w.name, len(files), len(w.secrets))
		}
		for i, secret := range w.secrets {
			if string(files[w.file(i)].content) != getSecret(t, vault, secret) {
				t.Errorf("%s: file %s does not have the vault's value", w.name, w.file(i))
			}
		}
	}
}

// classClients returns the client ids in the cluster's classes by namespace/name.
func (c *cloud) classClients(t *testing.T) map[string]string {
	t.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ Namespace, Name string }
			Spec     struct{ Parameters struct{ ClientID string } }
		}
	}
	c.get(t, &list, "secretproviderclasses.secrets-store.csi.x-k8s.io")
	clients := map[string]string{}
	for _, class := range list.Items {
		clients[class.Metadata.Namespace+"/"+class.Metadata.Name] = class.Spec.Parameters.ClientID
	}
	return clients
}

// thing is a resource in Azure, in the cluster or in the state.
type thing struct {
	owner string // name of its workload; empty if it belongs to none
	is    string // JSON
}

// fleetSnapshot returns everything in Azure, in the cluster and in the state, by place and name.
func (c *cloud) fleetSnapshot(t *testing.T) map[string]thing {
	t.Helper()
	has := map[string]thing{}
	put := func(what, owner string, is any) {
		t.Helper()
		text, err := json.MarshalIndent(is, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := has[what]; ok {
			t.Errorf("%s exists twice: %s and %s", what, before.is, text)
		}
		has[what] = thing{owner, string(text)}
	}
	principals := map[string]string{}
	workloads := c.outputs(t).Workloads
	for name, w := range workloads {
		principals[w.PrincipalID] = name
	}
	ofWorkload := regexp.MustCompile(`^(app-\d+)(-|$)`)
	owner := func(name string) string {
		if match := ofWorkload.FindStringSubmatch(name); match != nil {
			return match[1]
		}
		return ""
	}
	for _, one := range c.listed(t) {
		id, by := strings.ToLower(one["id"].(string)), ""
		if _, below, ok := strings.Cut(id, "/userassignedidentities/"); ok { // the identity, or its credential
			by = owner(below)
		}
		if properties, ok := one["properties"].(map[string]any); ok && strings.Contains(id, "/roleassignments/") {
			principal, _ := properties["principalId"].(string)
			by = principals[principal]
		}
		put("azure "+id, by, one)
	}
	var list struct{ Items []map[string]any }
	c.get(t, &list, objectKinds)
	for _, one := range list.Items {
		metadata := one["metadata"].(map[string]any)
		namespace, _ := metadata["namespace"].(string)
		name := metadata["name"].(string)
		delete(one, "status")
		delete(metadata, "resourceVersion")
		if one["kind"] == "Namespace" {
			namespace = name
		}
		put(fmt.Sprintf("cluster %s %s/%s", one["kind"], namespace, name), owner(namespace), one)
	}
	var state struct{ Resources []map[string]any }
	c.readCheckpoint(t, &state)
	for _, one := range state.Resources {
		urn := one["urn"].(string)
		if one["type"] == "pulumi:pulumi:Stack" {
			of := one["outputs"].(map[string]any)["workloads"].(map[string]any)
			for name, w := range of {
				put("output "+name, name, w)
			}
			clear(of)
		}
		put("state "+urn, owner(urn[strings.LastIndex(urn, "::")+2:]), normalized(one))
	}
	return has
}

// normalized returns a resource of the state without what differs each time: ciphertexts and the order of dependencies.
func normalized(resource map[string]any) any {
	byName := func(a, b any) int { return strings.Compare(a.(string), b.(string)) }
	if on, ok := resource["dependencies"].([]any); ok {
		slices.SortFunc(on, byName)
	}
	if by, ok := resource["propertyDependencies"].(map[string]any); ok {
		for _, on := range by {
			if on, ok := on.([]any); ok {
				slices.SortFunc(on, byName)
			}
		}
	}
	var strip func(value any)
	strip = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			delete(value, "ciphertext")
			for _, one := range value {
				strip(one)
			}
		case []any:
			for _, one := range value {
				strip(one)
			}
		}
	}
	strip(resource)
	return resource
}

// wantGone checks that exactly the workload's things are gone, and that the others have not changed.
func wantGone(t *testing.T, before, after map[string]thing, workload string) {
	t.Helper()
	var gone []string
	for what, was := range before {
		is, ok := after[what]
		switch {
		case was.owner == workload && ok:
			t.Errorf("%s is still there", what)
		case was.owner == workload:
			gone = append(gone, what)
		case !ok:
			t.Errorf("%s is gone", what)
		case is != was:
			t.Errorf("%s has changed:\n%s", what, firstDifference(was.is, is.is))
		}
	}
	for what := range after {
		if _, ok := before[what]; !ok {
			t.Errorf("%s is new", what)
		}
	}
	count := map[string]int{}
	for _, what := range gone {
		where, _, _ := strings.Cut(what, " ")
		count[where]++
	}
	// In Azure: identity, credential and two roles. In the cluster: namespace, account, class and pod, and the account
	// default and the certificates that the cluster adds. In the state: all but these two, and two components.
	if want := map[string]int{"azure": 4, "cluster": 6, "state": 10, "output": 1}; !maps.Equal(count, want) {
		slices.Sort(gone)
		t.Errorf("%v are gone, want %v:\n%s", count, want, strings.Join(gone, "\n"))
	}
}
