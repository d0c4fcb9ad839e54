package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// readFiles is a script that reads files in a loop and prints checksum and name of each that changed. It ends when a
// file disappears.
const readFiles = `
cd /mnt/secrets
while :; do
	for f in $FILES; do
		id=$(echo $f | tr /. __)
		eval last=\$last_$id
		[ -e $f ] || [ "$last" ] || continue
		sum=$(sha256sum $f) || exit 1
		[ "$sum" = "$last" ] || echo ${sum%% *} $f
		eval last_$id='$sum'
	done
done`

// year is programs/year, whose clock the test sets.
type year struct {
	*program
	secrets *azsecrets.Client
	begin   time.Time

	mu   sync.Mutex
	read map[string][]string // by file: digests of all contents that a pod has read
	want map[string][]string // by file: digests that the pod must read
}

// TestRotateEvery_RotatesThroughAYear moves the components' clock through a year. Values rotate when they are due,
// others write a value and renew a certificate, and a pod reads everything without a pause. Only the program, which
// decides what is due, uses this clock.
func TestRotateEvery_RotatesThroughAYear(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--config", "rotationPollInterval=1s", "--config", "workloads=[]")
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer, certificatesOfficer)
	secrets, _ := vaultClients(t, c, first.VaultURI)
	web := &certificate{cloud: c, uri: first.VaultURI}
	web.renew(t)
	y := &year{
		program: newProgram(t, c, "tests/programs/year", map[string]string{
			"vaultId": first.VaultID, "clusterId": first.ClusterID, "resourceGroupName": "keyvault-demo",
		}),
		secrets: secrets, begin: time.Date(2027, time.January, 15, 8, 0, 0, 0, time.UTC),
		read: map[string][]string{}, want: map[string][]string{},
	}
	y.at(y.begin)
	y.pulumi(t, "up", "--yes", "--skip-preview")
	y.startReader(t)
	y.follows(t, "at first", web)

	values := map[string]string{
		"monthly":   getSecret(t, secrets, "monthly"),
		"quarterly": getSecret(t, secrets, "quarterly"),
	}
	made := map[string]int{"monthly": 1, "quarterly": 1}
	for _, month := range []struct {
		month     int
		late      time.Duration // time from when a value is due to the update
		rotates   []string
		previewed bool
		refused   bool // the first update generates the value but cannot write it
		others    func()
	}{
		{month: 1, rotates: []string{"monthly"}, previewed: true},
		{month: 2, late: 31 * time.Hour, rotates: []string{"monthly"}},
		{month: 3, late: time.Hour, rotates: []string{"monthly", "quarterly"}, others: func() {
			setSecret(t, secrets, "theirs", "others' second")
		}},
		{month: 4, late: 20 * 24 * time.Hour, rotates: []string{"monthly"}},
		{month: 5, rotates: []string{"monthly"}, others: func() { web.renew(t) }}, // ten days after the previous update
		{month: 8, late: time.Minute, rotates: []string{"monthly", "quarterly"}},  // three months without an update
		{month: 9, rotates: []string{"monthly", "quarterly"}, previewed: true},
		{month: 10, late: 3 * time.Hour, rotates: []string{"monthly"}, others: func() {
			web.renew(t)
			setSecret(t, secrets, "theirs", "others' third")
		}},
		{month: 11, late: 24 * time.Hour, rotates: []string{"monthly"}, refused: true},
		{month: 12, rotates: []string{"monthly", "quarterly"}, previewed: true},
	} {
		due := y.begin.AddDate(0, month.month, 0)
		what := due.Format("January")
		if month.previewed {
			y.at(due.Add(-time.Second))
			y.pulumi(t, "preview", "--expect-no-changes")
		}
		if month.others != nil {
			month.others()
		}
		y.at(due.Add(month.late))
		if month.previewed {
			y.wantPlan(t, month.rotates)
		}
		if month.refused {
			lock := first.VaultID + "/providers/Microsoft.Authorization/locks/theirs"
			y.arm(t, http.MethodPut, lock, "2020-05-01", `{"properties": {"level": "ReadOnly"}}`)
			printed, err := y.tryPulumi(t, "up", "--yes", "--skip-preview")
			if err == nil || !strings.Contains(err.Error(), "ScopeLocked") {
				t.Errorf("up with a read-only vault: got %v, want ScopeLocked\n%s", err, printed)
			}
			if getSecret(t, secrets, "monthly") != values["monthly"] {
				t.Error("the read-only vault has a new value")
			}
			y.arm(t, http.MethodDelete, lock, "2020-05-01", "")
		}
		y.pulumi(t, "up", "--yes", "--skip-preview")
		for name, before := range values {
			value, rotates := getSecret(t, secrets, name), slices.Contains(month.rotates, name)
			if rotated := value != before; rotated != rotates {
				t.Errorf("in %s %s has rotated: %t, want %t", what, name, rotated, rotates)
			}
			values[name] = value
			if rotates {
				made[name]++
			}
			if versions := y.versions(t, name); versions != made[name] {
				t.Errorf("in %s %s has %d versions, want %d", what, name, versions, made[name])
			}
		}
		y.follows(t, "in "+what, web)
		y.wantExpiry(t, due)
	}
	y.pulumi(t, "up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes")
	revision := y.kubectl(t, "get", "deployment", "-n", "year", "variable",
		`--output=jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}`)
	if revision != strconv.Itoa(made["quarterly"]) {
		t.Errorf("the Deployment with the variable has revision %s, want %d as many as values", revision, made["quarterly"])
	}
	if value := getSecret(t, secrets, "theirs"); value != "others' third" {
		t.Errorf("the value that others wrote is now %q", value)
	}

	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.read["monthly/0"]) != made["monthly"] || len(y.read["tls.pem"]) != web.versions {
		t.Errorf("the pod has read %d values of monthly and %d certificates, want %d and %d", len(y.read["monthly/0"]),
			len(y.read["tls.pem"]), made["monthly"], web.versions)
	}
	for file, want := range y.want {
		if !slices.Equal(y.read[file], want) {
			t.Errorf("from %s the pod has read %q, want each whole value once, in order: %q", file, y.read[file], want)
		}
	}
	if want := y.want["monthly/0"]; !slices.Equal(y.read["monthly/1"], want[:len(want)-1]) {
		t.Errorf("as the previous value the pod has read %q, want %q", y.read["monthly/1"], want[:len(want)-1])
	}
}

// at sets the program's clock.
func (y *year) at(clock time.Time) {
	y.besides = []string{"CLOCK=" + clock.Format(time.RFC3339)}
}

// startReader starts a pod that reads the files until the test ends.
func (y *year) startReader(t *testing.T) {
	t.Helper()
	var outputs struct{ Class string }
	y.outputs(t, &outputs)
	y.apply(t, readerPod("reader", "year", "reader", outputs.Class))
	y.kubectl(t, "wait", "-n", "year", "pod/reader", "--for=condition=Ready", "--timeout=120s")
	script := "FILES='monthly/0 monthly/1 quarterly theirs tls.pem'" + readFiles
	r := startReader(t, y.cloud, "year", script)
	go func() {
		for line := range r.lines {
			sum, file, _ := strings.Cut(line, " ")
			y.mu.Lock()
			y.read[file] = append(y.read[file], sum)
			y.mu.Unlock()
		}
	}()
}

// follows waits until the reading pod, the synced Secrets and the variable have the vault's values.
func (y *year) follows(t *testing.T, when string, web *certificate) {
	t.Helper()
	for file, name := range map[string]string{"monthly/0": "monthly", "quarterly": "quarterly", "theirs": "theirs"} {
		y.has(t, when, file, digest(getSecret(t, y.secrets, name)))
	}
	var read string
	eventually(t, when+" the file has the certificate", func() bool {
		read = y.kubectl(t, "exec", "-n", "year", "reader", "--", "cat", "/mnt/secrets/tls.pem")
		return web.is(t, read, read)
	})
	y.has(t, when, "tls.pem", digest(read))
	secret := func(name string) (data map[string][]byte) {
		text := y.kubectl(t, "get", "secret", "-n", "year", name, "--output=jsonpath={.data}")
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			t.Fatal(err)
		}
		return data
	}
	eventually(t, when+" the Secret has the certificate", func() bool {
		data := secret("web")
		return web.is(t, string(data["tls.crt"]), string(data["tls.key"]))
	})
	value := getSecret(t, y.secrets, "quarterly")
	eventually(t, when+" the Secret has the value", func() bool { return string(secret("quarterly")["value"]) == value })
	eventually(t, when+" the variable has the value", func() bool { // no logs while the pod is being replaced
		logged, _ := y.run(t, "", "kubectl", "logs", "-n", "year", "deploy/variable")
		return logged == digest(value)+"  -\n"
	})
}

// has waits until the pod has read a content with the digest from a file.
func (y *year) has(t *testing.T, when, file, sum string) {
	t.Helper()
	if want := y.want[file]; len(want) == 0 || want[len(want)-1] != sum {
		y.want[file] = append(want, sum)
	}
	eventually(t, when+" the pod reads the new value of "+file, func() bool {
		y.mu.Lock()
		defer y.mu.Unlock()
		read := y.read[file]
		return len(read) > 0 && read[len(read)-1] == sum
	})
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// wantPlan checks that a preview plans to rotate the given values and nothing else.
func (y *year) wantPlan(t *testing.T, rotates []string) {
	t.Helper()
	var preview struct {
		Steps       []struct{ Op, URN string }
		Diagnostics []struct{ Message string }
	}
	if err := json.Unmarshal([]byte(y.pulumi(t, "preview", "--json")), &preview); err != nil {
		t.Fatal(err)
	}
	planned := map[string]bool{}
	for _, step := range preview.Steps {
		planned[nameOf(step.URN)] = planned[nameOf(step.URN)] || step.Op != "same"
	}
	// A preview cannot know the new versions, and so not that these do not restart.
	delete(planned, "mount-probe")
	delete(planned, "variable")
	maps.DeleteFunc(planned, func(_ string, changes bool) bool { return !changes })
	want := map[string]bool{}
	for _, name := range rotates {
		want["vault-value-"+name], want["vault-secret-"+name] = true, true
		announces := func(d struct{ Message string }) bool { return strings.Contains(d.Message, "the secret "+name+" ") }
		if !slices.ContainsFunc(preview.Diagnostics, announces) {
			t.Errorf("the preview does not announce the rotation of %s: %v", name, preview.Diagnostics)
		}
	}
	if !maps.Equal(planned, want) {
		t.Errorf("the preview changes %v, want %v", planned, want)
	}
}

// versions returns the number of a secret's versions.
func (y *year) versions(t *testing.T, name string) (n int) {
	t.Helper()
	for pager := y.secrets.NewListSecretPropertiesVersionsPager(name, nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Value)
	}
	return n
}

// wantExpiry checks that the value of monthly expires six weeks after it was due.
func (y *year) wantExpiry(t *testing.T, due time.Time) {
	t.Helper()
	secret, err := y.secrets.GetSecret(t.Context(), "monthly", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if expires := secret.Attributes.Expires; expires == nil || !expires.Equal(due.AddDate(0, 0, 42)) {
		t.Errorf("the value due on %s expires on %v, want %s", due, expires, due.AddDate(0, 0, 42))
	}
}

// TestRotateEvery_KeepsExistingValue checks that adding, changing and removing RotateEvery keeps the value until it is
// due.
func TestRotateEvery_KeepsExistingValue(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	const without = `[{"name": "plain", "generate": {}}, {"name": "turned", "generate": {}, "rotate": "1"}]`
	v := newVaults(t, c, map[string]string{"secrets": without})
	v.up(t)
	id, secrets, _ := v.vault(t)
	grant(t, c, id, secretsOfficer)
	values := map[string]string{"plain": getSecret(t, secrets, "plain"), "turned": getSecret(t, secrets, "turned")}
	for _, list := range []string{
		`[{"name": "plain", "generate": {}, "rotateEvery": "P30D"},
			{"name": "turned", "generate": {}, "rotate": "1", "rotateEvery": "PT1H"}]`,
		`[{"name": "plain", "generate": {}, "rotateEvery": "P1Y"},
			{"name": "turned", "generate": {}, "rotate": "1", "rotateEvery": "P1D"}]`,
		without,
	} {
		v.setLists(t, list, "[]")
		for name, op := range v.changes(t) {
			if !strings.HasPrefix(name, "vault-rotation-") {
				t.Errorf("with %s the plan for %s is %s, want nothing", list, name, op)
			}
		}
		v.up(t)
		v.pulumi(t, "up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes")
		for name, value := range values {
			if getSecret(t, secrets, name) != value {
				t.Errorf("with %s %s has another value", list, name)
			}
		}
	}
}
