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

// fleetSize is how many workloads the file has, and fleetSecrets how many secrets they mount.
const fleetSize, fleetSecrets = 50, 10

// fleetWorkload is one in the file. What it has in the cluster is in a namespace of its name.
type fleetWorkload struct {
	name    string
	secrets []string // one or two, by the file that each is mounted as
	pod     bool
}

func (w fleetWorkload) file(i int) string {
	if i == 0 {
		return w.secrets[i]
	}
	return "more/" + w.secrets[i]
}

// fleetOf are the workloads. Each secret is mounted by several.
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

// writeFleet writes the configuration of the stack fleet, which is all in one file.
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

// TestWorkloads_RemovesOneOfFifty brings fifty workloads up at once, each with a namespace of its own, and then takes
// one out of the middle of the list: what it had goes, in Azure, in the cluster and in the state, and all else stays as
// it is, also what comes after it in the list.
func TestWorkloads_RemovesOneOfFifty(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	fleet := fleetOf(fleetSize)
	c.writeFleet(t, fleet)
	begin := time.Now()
	c.up(t, "--node=stand-in", "--stack", "fleet")
	t.Logf("fifty workloads came up in %s", time.Since(begin).Round(time.Second))

	grant(t, c, c.outputs(t).VaultID, secretsOfficer)

	t.Run("each workload has what the file says", func(t *testing.T) { c.wantFleet(t, fleet) })
	t.Run("there is nothing else", func(t *testing.T) { c.wantComplete(t) })
	before := c.fleetSnapshot(t)
	out := fleet[fleetSize/2]
	rest := slices.DeleteFunc(slices.Clone(fleet), func(w fleetWorkload) bool { return w.name == out.name })

	t.Run("one that is taken out goes, with what is its own and nothing else", func(t *testing.T) {
		if !out.pod || len(out.secrets) != 2 {
			t.Fatalf("%s has not all that a workload can have", out.name)
		}
		c.writeFleet(t, rest)
		begin := time.Now()
		printed, _ := c.up(t, "--stack", "fleet")
		t.Logf("it went in %s", time.Since(begin).Round(time.Second))
		// Two components, the identity with its credential and two roles, namespace, account, class and pod.
		if summary := regexp.MustCompile(`Resources:\n( {4}.*\n)+`).
			FindString(printed); !regexp.MustCompile(`^Resources:\n +- 10 deleted\n +\d+ unchanged\n$`).
			MatchString(summary) {
			t.Errorf("up says %s", summary)
		}
		wantGone(t, before, c.fleetSnapshot(t), out.name)
	})
	t.Run("the others are as they were, and there is nothing to do", func(t *testing.T) {
		c.wantFleet(t, rest)
		c.wantComplete(t)
	})
}

// wantFleet checks of each workload that its identity may read its secrets and nothing else, and is trusted to be its
// account and no other; that its class is for that identity; and that its pod, where it has one, has its secrets, and
// no other file.
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
			t.Errorf("%s has the outputs %+v, and a class for %s", w.name, is, clients[w.name+"/"+is.SecretProviderClass])
		}
		volumes, _ := filepath.Glob(
			filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", w.name, "keyvault-test-pod", "*"),
		)
		if pod := len(volumes) == 1; pod != w.pod {
			t.Errorf("%s has the volumes %q", w.name, volumes)
		} else if !pod {
			continue
		}
		files := filesIn(t, volumes[0])
		if len(files) != len(w.secrets) {
			t.Errorf("%s has %d files", w.name, len(files))
		}
		for i, secret := range w.secrets {
			if string(files[w.file(i)].content) != getSecret(t, vault, secret) {
				t.Errorf("%s: %s is not what is in the vault", w.name, w.file(i))
			}
		}
	}
}

// classClients are the client ids in the classes of the cluster, by namespace and name.
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

// thing is something in Azure, in the cluster or in the state, as it is there.
type thing struct {
	owner string // the workload whose own it is; empty: nobody's
	is    string
}

// fleetSnapshot is all there is, by where and what it is.
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
			t.Errorf("%s is there twice: %s and %s", what, before.is, text)
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
		put("state "+urn, owner(urn[strings.LastIndex(urn, "::")+2:]), settled(one))
	}
	return has
}

// settled is a resource of the state without what is another each time: what is encrypted, and the order of what it
// depends on.
func settled(resource map[string]any) any {
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

// wantGone checks that of what there was before exactly that is gone which was a workload's, and that the rest is as it
// was.
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
			t.Errorf("%s is not as it was:\n%s", what, firstDifference(was.is, is.is))
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
	// Identity, credential and two roles; namespace, account, class and pod, with what the cluster adds: an account,
	// default, and its certificates; all of these but the last two, and two components; and what the stack says of it.
	if want := map[string]int{"azure": 4, "cluster": 6, "state": 10, "output": 1}; !maps.Equal(count, want) {
		slices.Sort(gone)
		t.Errorf("%v are gone, want %v:\n%s", count, want, strings.Join(gone, "\n"))
	}
}
