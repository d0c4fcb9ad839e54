package tests

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// readerPod returns the manifest of a pod that mounts a class. It has no limits, so that it can read without a pause.
func readerPod(name, namespace, account, class string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  serviceAccountName: %s
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: c
      image: busybox:1.35.0
      command: [sleep, infinity]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: v, mountPath: /mnt/secrets, readOnly: true}]
  volumes:
    - name: v
      csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: %s}}
`, name, namespace, account, class)
}

// readAll is a script that reads a file in a loop. Whenever the content changes it prints the number of reads and the
// content's checksum.
const readAll = `n=0; last=
while :; do
	sum=$(sha256sum /mnt/secrets/rotating) || exit 1
	n=$((n + 1))
	[ "$sum" = "$last" ] || echo $n ${sum%% *}
	last=$sum
done`

// TestScenario_Rotation rotates a secret by hand many times while a pod reads its file without a pause, and checks that
// the pod reads each whole value within two poll intervals.
//
// The test counts polls instead of seconds, because other tests keep the machine busy. Each poll reads the newest
// value, so a new value is in the pod after the next poll, or the one after that if a poll was under way. The test
// compares the interval to the duration of all polls together. It is the least that the driver waits: the kubelet asks
// the driver when it syncs the pod, which on a node of AKS is every minute or more.
func TestScenario_Rotation(t *testing.T) {
	needsRealNode(t)
	scenario(t, every, func(t *testing.T, _ uint64, random *rand.Rand) {
		rotations := 5
		if long() {
			rotations = 12
		}
		interval := 2*time.Second + time.Duration(random.IntN(20))*100*time.Millisecond
		c := newCloud(t)
		config := []string{
			"--config", "rotationPollInterval=" + interval.String(),
			"--config", "secrets=[{name: rotating, generate: {length: 32}}]", "--config", "keys=[]",
		}
		mounted := func(more string) []string {
			return append(slices.Clone(config), "--config", workloadsWith(
				t,
				"dev",
				"{mount: [{type: secret, name: rotating}], "+
					"syncSecrets: [{name: copy, data: [{key: value, file: rotating}]}], testPod: null"+more+"}",
			))
		}
		c.up(t, mounted("")...)
		outputs := c.outputs(t)
		grant(t, c, outputs.VaultID, secretsOfficer)
		secrets, _ := vaultClients(t, c, outputs.VaultURI)
		namespace := outputs.Namespace
		c.apply(t, readerPod("reader", namespace, outputs.ServiceAccounts[0], outputs.SecretProviderClass))
		c.kubectl(t, "wait", "-n", namespace, "pod/reader", "--for=condition=Ready", "--timeout=120s")

		r := startReader(t, c, namespace, readAll)
		r.next(t, getSecret(t, secrets, "rotating"))
		begin, before := time.Now(), c.polls(t)
		var value string
		for range rotations {
			time.Sleep(time.Duration(random.Int64N(int64(interval)))) // a random moment between two polls
			value = randomValue(random)
			followed := c.copied(t, namespace, value)
			setSecret(t, secrets, "rotating", value)
			written := c.polls(t)
			r.next(t, value)
			if polls := c.polls(t) - written; polls > 2 {
				t.Errorf("the pod read the new value after %d polls, want at most 2", polls)
			}
			// The driver writes the Secret after the file, and kubectl sees it later still.
			if copied := <-followed; copied.err != nil || copied.polls-written > 3 {
				t.Errorf("the Secret had the new value after %d polls, want at most 3: %v", copied.polls-written, copied.err)
			}
		}
		took, polls := time.Since(begin), c.polls(t)-before
		t.Logf("%d reads of %d values, %d polls in %s, which are %s apart, interval %s", r.reads, rotations+1, polls,
			took.Round(time.Millisecond), (took / time.Duration(max(1, polls))).Round(time.Millisecond), interval)
		if took > 2*interval*time.Duration(polls+1) {
			t.Errorf("there were %d polls in %s, want at least one in two intervals of %s", polls, took, interval)
		}
		if r.reads < 50*rotations {
			t.Errorf("the file was read %d times, too few to prove anything; want at least %d", r.reads, 50*rotations)
		}
		if objects, want := c.objectsWith(t, value), []string{"Secret " + namespace + "/copy"}; !slices.Equal(objects, want) {
			t.Errorf("the value is in the objects %q, want %q", objects, want)
		}

		// A Deployment with the annotation restarts when Pulumi learns of a new version, and only then.
		pod := func() string {
			return c.kubectl(t, "get", "pod", "-n", namespace, "-l", "app.kubernetes.io/name=keyvault-probe",
				"--output=jsonpath={.items[*].metadata.name}")
		}
		c.up(t, mounted(", probe: {}")...)
		first := pod()
		words := strings.Fields(upRefreshed)
		c.mustRun(t, words[0], words[1:]...)
		c.kubectl(t, "rollout", "status", "-n", namespace, "deployment/keyvault-probe", "--timeout=120s")
		c.kubectl(t, "wait", "-n", namespace, "--for=delete", "pod/"+first, "--timeout=120s")
		second := pod()
		if second == first || strings.Contains(second, " ") {
			t.Errorf("after a new version the pods are %q, want one other than %q", second, first)
		}
		c.mustRun(t, words[0], words[1:]...)
		if again := pod(); again != second {
			t.Errorf("without a new version the pods are %q, want %q as before", again, second)
		}
		if getSecret(t, secrets, "rotating") != value {
			t.Error("the vault no longer has the value that was rotated by hand")
		}
	})
}

type following struct {
	polls int
	err   error
}

// copied waits for a value in the synced Secret and sends how many polls there were by then.
func (c *cloud) copied(t *testing.T, namespace, value string) <-chan following {
	t.Helper()
	cmd, err := c.prepare(t, "kubectl", "wait", "-n", namespace, "secret/copy", "--timeout=60s",
		"--for=jsonpath={.data.value}="+base64.StdEncoding.EncodeToString([]byte(value)))
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan following, 1), make(chan struct{})
	go func() { // t must not be used here
		defer close(ended)
		err := cmd.Wait()
		polls, err2 := c.pollsLogged()
		done <- following{polls, errors.Join(err, err2)}
	}()
	t.Cleanup(func() { <-ended })
	return done
}

// randomValue returns a text of up to Key Vault's limit of 25 kB, in one of three cases of exactly that length.
func randomValue(random *rand.Rand) string {
	const most = 25 * 1024
	length := 1 + random.IntN(most)
	if random.IntN(3) == 0 {
		length = most
	}
	if length%3 == 2 {
		length-- // in base64 it would end in one =, which `kubectl wait` would take for its own
	}
	word := fmt.Sprintf("%016x", random.Uint64())
	return strings.Repeat(word, length/len(word)+1)[:length]
}

// polls returns how often the driver has read the rotating secret from Key Vault. It counts successful responses only:
// each read begins with a request that Key Vault answers with an authentication challenge.
func (c *cloud) polls(t *testing.T) int {
	t.Helper()
	polls, err := c.pollsLogged()
	if err != nil {
		t.Fatal(err)
	}
	return polls
}

func (c *cloud) pollsLogged() (int, error) {
	log, err := os.ReadFile(filepath.Join(c.home, localcloudtest.LogFile))
	return bytes.Count(log, []byte("path=/secrets/rotating/ status=200 ")), err
}

// podReader is a script that runs in a pod and prints what it reads.
type podReader struct {
	lines chan string
	reads int // number of reads, as last printed
}

func startReader(t *testing.T, c *cloud, namespace, script string) *podReader {
	t.Helper()
	prepared, err := c.prepare(t, "kubectl", "exec", "-n", namespace, "reader", "--", "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(untilEnding(t))
	cmd := exec.CommandContext(ctx, prepared.Path, prepared.Args[1:]...)
	cmd.Env, cmd.Stderr = prepared.Env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	r := &podReader{lines: make(chan string, 100)}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range r.lines {
		}
		_ = cmd.Wait() // it was killed
	})
	return r
}

// next waits until the file's content changes, and checks that it is the value.
func (r *podReader) next(t *testing.T, value string) {
	t.Helper()
	select {
	case line := <-r.lines:
		var sum string
		if _, err := fmt.Sscan(line, &r.reads, &sum); err != nil {
			t.Fatalf("the reader prints %q: %v", line, err)
		}
		want := sha256.Sum256([]byte(value))
		if sum != hex.EncodeToString(want[:]) {
			t.Fatalf("read %d returned something other than the new value", r.reads)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the pod does not read the new value after two minutes")
	}
}

// objectsWith returns the kind, namespace and name of each object in the cluster that contains a value.
func (c *cloud) objectsWith(t *testing.T, value string) (found []string) {
	t.Helper()
	kinds := strings.Fields(c.kubectl(t, "api-resources", "--verbs=list", "--output=name"))
	var list struct{ Items []json.RawMessage }
	c.get(t, &list, strings.Join(kinds, ","))
	for _, item := range list.Items {
		var object struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
			Data     map[string][]byte // of a Secret
		}
		_ = json.Unmarshal(item, &object) // other kinds' data is not base64
		forms := append(slices.Collect(maps.Values(object.Data)), item)
		if slices.ContainsFunc(forms, func(one []byte) bool { return containsSecret(one, value) }) {
			found = append(found, object.Kind+" "+strings.TrimPrefix(object.Metadata.Namespace+"/"+object.Metadata.Name, "/"))
		}
	}
	return found
}
