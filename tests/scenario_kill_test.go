package tests

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// boundary matches where up prints that the engine begins or ends an operation on a resource.
var boundary = regexp.MustCompile(` \S+ (\S+) ((?:creat|updat|delet)(?:ing|ed)) \(`)

// chance returns the random numbers of a place, so that a seed repeats its kills in whatever order resources begin and
// end.
func chance(seed uint64, place string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(place))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// TestScenario_UpKilled checks that up recovers from being killed again and again, within half a second of where it
// begins or ends an operation on a resource. With more than one seed, the first kills it at every such place, and the
// others about ten times each; every third kill comes at any moment of the first seconds, in which up repairs what the
// previous kill left. With `make test-faults` up is killed about fifty times.
func TestScenario_UpKilled(t *testing.T) {
	scenario(t, every, func(t *testing.T, seed uint64, _ *rand.Rand) {
		share, late := 0.08, 500
		switch {
		case long() && seed == 1:
			share, late = 1, 0
		case long():
			share, late = 1, 500
		}
		c := newCloud(t)
		passed := map[string]bool{}
		met := map[string]bool{}       // names of resources whose operation began or ended when up was killed
		secrets := map[string]string{} // values of the secret by vault name
		for kills := 0; ; kills++ {
			var killed atomic.Bool
			anyMoment := time.Duration(-1)
			if long() && seed > 1 && kills%3 == 1 {
				anyMoment = time.Duration(chance(seed, strconv.Itoa(kills)).Int64N(int64(3 * time.Second)))
			}
			_, _, err := c.watchUp(t, func(printed []byte, kill func()) {
				if anyMoment >= 0 {
					time.AfterFunc(anyMoment, func() { killed.Store(true); kill() })
					anyMoment = -1
				}
				for _, match := range boundary.FindAllSubmatch(printed, -1) {
					name := string(match[1])
					place := name + " " + string(match[2])
					if passed[place] {
						continue
					}
					if killed.Load() {
						met[name] = true
						continue
					}
					passed[place] = true
					if random := chance(seed, place); random.Float64() < share {
						killed.Store(true)
						if late > 0 {
							time.Sleep(time.Duration(random.IntN(late)) * time.Millisecond) // a random moment; no event to wait for
						}
						kill()
						c.printed.WriteString("\nkilled at " + place + "\n")
						met[name] = true
					}
				}
			}, "--node=stand-in")
			if err != nil && !killed.Load() {
				t.Fatalf("up failed after %d kills: %v", kills, err)
			}
			if kills == 0 {
				grant(t, c, "/subscriptions/"+c.running(t).Credentials.SubscriptionID, secretsOfficer)
			}
			c.wantSecretsKept(t, secrets)
			if err == nil {
				t.Logf("%d kills", kills)
				if kills == 0 {
					t.Error("up was not killed")
				}
				if long() && seed == 1 {
					c.wantKilledAtEach(t, met, kills)
				}
				break
			}
		}
		_, lastLine := c.up(t)
		if len(secrets) != 1 {
			t.Errorf("there were %d vaults with the secret, want 1", len(secrets))
		}
		for _, value := range secrets {
			if !strings.Contains(lastLine, "my-secret = "+value) {
				t.Error("the pod does not read the vault's first value")
			}
		}
		c.wantComplete(t)
	})
}

// TestScenario_UpInterrupted interrupts up while Azure creates the cluster; azure-native then keeps its inputs and no
// outputs. The next up must complete it without replacing anything. With odd seeds a refresh comes first, which adds
// inputs that Azure chose and the program would remove.
func TestScenario_UpInterrupted(t *testing.T) {
	scenario(t, twice, func(t *testing.T, seed uint64, _ *rand.Rand) {
		c := newCloud(t)
		interrupted := false
		_, _, err := c.watch(t, os.Interrupt, func(printed []byte, interrupt func()) {
			alone := true // creating the cluster takes five seconds, and all else is done after two
			for _, begun := range []string{
				"cluster-cluster creating", "-role-key-my-key created", "-role-secret-my-secret created",
			} {
				alone = alone && strings.Contains(string(printed), begun)
			}
			if alone && !interrupted {
				interrupted = true
				interrupt()
			}
		}, "up", "--node=stand-in", "--times", "azure/60")
		if err == nil || !interrupted {
			t.Fatalf("up was not interrupted: %t, %v", interrupted, err)
		}
		cluster := c.resourceNamed(t, "cluster-cluster")
		if cluster.ID == "" || len(cluster.Outputs) > 0 {
			t.Fatalf("the state has cluster %q with %d outputs, want an id and no outputs", cluster.ID, len(cluster.Outputs))
		}
		eventually(t, "the cluster is created", func() bool { // until then AKS rejects other operations
			properties, _ := c.arm(t, http.MethodGet, cluster.ID, "2024-09-01", "")["properties"].(map[string]any)
			return properties["provisioningState"] == "Succeeded"
		})
		if seed%2 == 1 {
			c.pulumi(t, "refresh", "--yes", "--skip-preview", "--non-interactive")
		}
		if printed, _ := c.up(t); strings.Contains(printed, "replacement") {
			t.Errorf("up replaces something:\n%s", printed)
		}
		c.wantComplete(t)
	})
}

// wantKilledAtEach checks that up was killed during or after the operation on each resource of the stack.
func (c *cloud) wantKilledAtEach(t *testing.T, met map[string]bool, kills int) {
	t.Helper()
	count := 0
	for _, r := range c.state(t) {
		name := r.URN[strings.LastIndex(r.URN, "::")+2:]
		if strings.HasPrefix(name, "default_") { // the engine's own providers
			continue
		}
		count++
		if !met[name] {
			t.Errorf("up was never killed at %s", name)
		}
	}
	if kills < count {
		t.Errorf("up was killed %d times, want at least once for each of %d resources", kills, count)
	}
}

// wantSecretsKept checks that each vault's secret still has its known value, and adds new ones to known.
func (c *cloud) wantSecretsKept(t *testing.T, known map[string]string) {
	t.Helper()
	for _, id := range c.resources(t) {
		vault, isSecret := strings.CutSuffix(id, "/secrets/my-secret")
		if !isSecret {
			continue
		}
		name := vault[strings.LastIndexByte(vault, '/')+1:]
		client, _ := vaultClients(t, c, "https://"+name+".vault.azure.net/")
		value := getSecret(t, client, "my-secret")
		if before, ok := known[name]; ok && before != value {
			t.Errorf("the secret in %s has a new value", name)
		}
		known[name] = value
	}
}

// TestScenario_DestroyInAnyState checks that down removes everything after an interruption, which the seed modulo three
// chooses: an up that was killed where an operation begins or ends (the first seed: after Azure created the resource
// group and before the engine knew), a down that was killed in the same way, or an up that failed.
func TestScenario_DestroyInAnyState(t *testing.T) {
	scenario(t, every, func(t *testing.T, seed uint64, random *rand.Rand) {
		c := newCloud(t)
		switch seed % 3 {
		case 1:
			if seed == 1 {
				for try := 1; !c.killWhileCreating(t, "resource-group", "resourceGroups/keyvault-demo", "2022-09-01"); try++ {
					if c.down(t); try == 3 {
						t.Fatal("up was not killed while it created the resource group, in 3 tries")
					}
				}
			} else if !c.killAt(t, 1+random.IntN(40), "up", "--node=stand-in") {
				t.Log("up had ended before")
			}
		case 2:
			c.up(t, "--node=stand-in")
			if !c.killAt(t, 1+random.IntN(20), "down") {
				t.Error("down was not killed")
			}
		default:
			c.wantUpFails(t, failing[random.IntN(len(failing))])
			c.setFaults(t, "{}")
		}
		c.down(t)
		printed := c.printed.String()
		created := seed == 1 || strings.Contains(printed, " resource-group created (")
		if created && !strings.Contains(printed, " resource-group deleted (") {
			t.Error("the resource group was not destroyed")
		}
		if strings.Contains(printed, "could not be destroyed") {
			t.Error("the stack could not be destroyed")
		}
		if strings.Contains(printed, "left in Azure") {
			t.Error("resources are left in Azure")
		}
		if processes := c.processes(); len(processes) > 0 {
			t.Errorf("processes are left: %q", processes)
		}
	})
}

// killAt runs a command, kills it where the engine begins or ends an operation for the nth time, and reports whether it
// was killed.
func (c *cloud) killAt(t *testing.T, nth int, command string, args ...string) (killed bool) {
	t.Helper()
	_, _, err := c.watch(t, os.Kill, func(printed []byte, kill func()) {
		if places := boundary.FindAllSubmatch(printed, -1); !killed && len(places) >= nth {
			killed = true
			kill()
			fmt.Fprintf(&c.printed, "\nkilled at %s\n", places[nth-1][0])
		}
	}, command, args...)
	if (err != nil) != killed {
		t.Errorf("%s: killed: %t, error: %v; want an error exactly if it was killed", command, killed, err)
	}
	return killed
}

// killWhileCreating runs up and kills it when a resource exists in Azure. It reports whether that was before the engine
// knew that the resource was created.
func (c *cloud) killWhileCreating(t *testing.T, name, id, version string) bool {
	t.Helper()
	killed := false
	printed, _, _ := c.watchUp(t, func(printed []byte, kill func()) {
		if killed || !strings.Contains(string(printed), " "+name+" creating (") {
			return
		}
		killed = true
		eventually(t, name+" is there", func() bool {
			subscription := c.running(t).Credentials.SubscriptionID
			url := "https://management.azure.com/subscriptions/" + subscription + "/" + id + "?api-version=" + version
			status, _ := c.request(t, http.MethodGet, url, "")
			return status == http.StatusOK
		})
		kill()
	}, "--node=stand-in", "--times", "azure")
	return killed && !strings.Contains(printed, " "+name+" created (")
}
