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

// boundary is where the engine begins or ends an operation on a resource.
var boundary = regexp.MustCompile(` \S+ (\S+) ((?:creat|updat|delet)(?:ing|ed)) \(`)

// chance are the random numbers of a place: a kill is repeated at it in whatever order resources begin and end.
func chance(seed uint64, place string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(place))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// TestScenario_UpKilled kills up again and again, where it begins or ends with a resource that it was not killed at before, or soon
// after, and brings the stack up at the end. With many seeds the first is killed at every such place, and the others about ten times
// each, at any moment in the half second after one, and each third time at any moment of its first seconds, in which it puts right what
// the kill before has left: with `make test-faults` about fifty times in all.
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
		met := map[string]bool{}       // resources, by name, whose operation began or ended when up was killed
		secrets := map[string]string{} // their values, by the vault's name
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
							time.Sleep(time.Duration(random.IntN(late)) * time.Millisecond) // any moment, not an event
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
			t.Errorf("there were %d vaults with the secret", len(secrets))
		}
		for _, value := range secrets {
			if !strings.Contains(lastLine, "my-secret = "+value) {
				t.Error("the pod reads something else than the vault has held from the beginning")
			}
		}
		c.wantComplete(t)
	})
}

// TestScenario_UpInterrupted interrupts up while the cluster is being made, of which azure-native then keeps the inputs and no
// outputs. The next up makes it whole: with odd seeds after a refresh, which has what Azure has chosen for inputs, too, that
// the program would take away; with even ones at once. Nothing is replaced.
func TestScenario_UpInterrupted(t *testing.T) {
	scenario(t, twice, func(t *testing.T, seed uint64, _ *rand.Rand) {
		c := newCloud(t)
		interrupted := false
		_, _, err := c.watch(t, os.Interrupt, func(printed []byte, interrupt func()) {
			alone := true // Azure is at it for five seconds, and at nothing else after two
			for _, begun := range []string{"cluster-cluster creating", "-role-key-my-key created", "-role-secret-my-secret created"} {
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
			t.Fatalf("of the cluster %q the state has %d outputs", cluster.ID, len(cluster.Outputs))
		}
		eventually(t, "the cluster is made", func() bool { // before that AKS takes nothing else
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

// wantKilledAtEach checks that up was killed in the middle or at the end of the operation on each resource of the stack.
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
		t.Errorf("there were %d kills, fewer than the %d resources", kills, count)
	}
}

// wantSecretsKept checks that the secret of each vault, once it is there, stays as it is.
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
			t.Errorf("the secret in %s is another one", name)
		}
		known[name] = value
	}
}

// TestScenario_DestroyInAnyState takes down what an up has left that was killed at the beginning or the end of any of its resources - the first
// seed: when the resource group was there and the engine did not know it yet -, what a destroy has left that was killed in the same way, and what
// an up has left that failed: each third seed one of them.
func TestScenario_DestroyInAnyState(t *testing.T) {
	scenario(t, every, func(t *testing.T, seed uint64, random *rand.Rand) {
		c := newCloud(t)
		switch seed % 3 {
		case 1:
			if seed == 1 {
				for try := 1; !c.killWhileCreating(t, "resource-group", "resourceGroups/keyvault-demo", "2022-09-01"); try++ {
					if c.down(t); try == 3 {
						t.Fatal("up was not killed while it created the resource group")
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
		said := c.printed.String()
		if there := seed == 1 ||
			strings.Contains(said, " resource-group created ("); there &&
			!strings.Contains(said, " resource-group deleted (") {
			t.Error("nothing was destroyed")
		}
		if strings.Contains(said, "could not be destroyed") {
			t.Error("the stack could not be destroyed")
		}
		if strings.Contains(said, "left in Azure") {
			t.Error("something is left in Azure")
		}
		if processes := c.processes(); len(processes) > 0 {
			t.Errorf("processes are left: %q", processes)
		}
	})
}

// killAt runs a command, kills it where its engine begins or ends with a resource for the nth time, and says whether it came to that.
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
		t.Errorf("%s was killed: %t, and ended with %v", command, killed, err)
	}
	return killed
}

// killWhileCreating runs up, kills it when a resource is there that its engine is creating, which takes a moment, and says whether that was in
// time.
func (c *cloud) killWhileCreating(t *testing.T, name, id, version string) bool {
	t.Helper()
	killed := false
	printed, _, _ := c.watchUp(t, func(printed []byte, kill func()) {
		if killed || !strings.Contains(string(printed), " "+name+" creating (") {
			return
		}
		killed = true
		eventually(t, name+" is there", func() bool {
			url := "https://management.azure.com/subscriptions/" + c.running(
				t,
			).Credentials.SubscriptionID + "/" + id + "?api-version=" + version
			status, _ := c.request(t, http.MethodGet, url, "")
			return status == http.StatusOK
		})
		kill()
	}, "--node=stand-in", "--times", "azure")
	return killed && !strings.Contains(printed, " "+name+" created (")
}
