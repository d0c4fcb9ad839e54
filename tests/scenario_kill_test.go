package tests

import (
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// boundary is where the engine begins or ends an operation on a resource.
var boundary = regexp.MustCompile(` \S+ (\S+) (creat(?:ing|ed)|updat(?:ing|ed)) \(`)

// chance are the random numbers of a place: a kill is repeated at it in whatever order resources begin and end.
func chance(seed uint64, place string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(place))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// TestScenarioUpIsKilled kills up again and again, where it begins or ends with a resource that it was not killed at before, or soon
// after, and brings the stack up at the end. With many seeds the first is killed at every such place, and the others about ten times
// each, at any moment in the half second after one, and each third time at any moment of its first seconds, in which it puts right what
// the kill before has left: with `make test-faults` about fifty times in all.
func TestScenarioUpIsKilled(t *testing.T) {
	scenario(t, every, func(t *testing.T, seed uint64, _ *rand.Rand) {
		share, late := 0.08, 500
		switch {
		case long() && seed == 1:
			share, late = 1, 0
		case long():
			share, late = 1, 500
		}
		c := newCloud(t)
		var passed = map[string]bool{}
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
					place := string(match[1]) + " " + string(match[2])
					if killed.Load() || passed[place] {
						continue
					}
					passed[place] = true
					if random := chance(seed, place); random.Float64() < share {
						killed.Store(true)
						if late > 0 {
							time.Sleep(time.Duration(random.IntN(late)) * time.Millisecond) // any moment, not an event
						}
						kill()
						c.said.WriteString("\nkilled at " + place + "\n")
					}
				}
			}, "--node=stand-in")
			if err != nil && !killed.Load() {
				t.Fatalf("up failed after %d kills: %v", kills, err)
			}
			if kills == 0 {
				grant(t, c, "/subscriptions/"+c.running(t).Credentials.SubscriptionID, secretsOfficer)
			}
			c.keepsSecrets(t, secrets)
			if err == nil {
				t.Logf("%d kills", kills)
				if kills == 0 || long() && seed == 1 && kills < 20 { // each resource of the program begins and ends
					t.Error("these are too few")
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
		c.isWhole(t)
	})
}

// keepsSecrets checks that the secret of each vault, once it is there, stays as it is.
func (c *cloud) keepsSecrets(t *testing.T, known map[string]string) {
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

// TestScenarioDestroyInAnyState takes down what an up has left that was killed at the beginning or the end of any of its resources.
func TestScenarioDestroyInAnyState(t *testing.T) {
	scenario(t, every, func(t *testing.T, _ uint64, random *rand.Rand) {
		c := newCloud(t)
		left := 1 + random.IntN(36)
		passed := map[string]bool{}
		_, _, err := c.watchUp(t, func(printed []byte, kill func()) {
			for _, match := range boundary.FindAllSubmatch(printed, -1) {
				if place := string(match[1]) + " " + string(match[2]); !passed[place] {
					passed[place] = true
					if left--; left == 0 {
						kill()
						c.said.WriteString("\nkilled at " + place + "\n")
					}
				}
			}
		}, "--node=stand-in")
		if err == nil && left <= 0 {
			t.Error("up succeeds although it was killed")
		}
		if len(passed) == 0 {
			t.Error("no resource was seen to begin or end")
		}
		c.down(t)
		if strings.Contains(c.said.String(), "could not be destroyed") {
			t.Error("the stack could not be destroyed")
		}
		if processes := c.processes(); len(processes) > 0 {
			t.Errorf("processes are left: %q", processes)
		}
	})
}
