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

// readFiles reads files again and again, and says what it has read of which whenever that is something else than
// before. It ends when one that was there is not.
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

// year is the program programs/year, whose clock the test sets.
type year struct {
	*program
	secrets *azsecrets.Client
	begin   time.Time

	mu   sync.Mutex
	read map[string][]string // digests of what a pod has read, by file
	want map[string][]string
}

// TestRotateEvery_RotatesThroughAYear moves the components' clock through a year, in which values rotate when they are
// due, others write another and renew a certificate, and a pod reads all of them without a pause. The clock is of the
// program alone: it decides what is due, and neither engine nor vault nor driver go by it.
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
		late      time.Duration // how long after a value was due the update comes
		rotates   []string
		previewed bool
		refused   bool // the first update makes the value, and cannot write it
		others    func()
	}{
		{month: 1, rotates: []string{"monthly"}, previewed: true},
		{month: 2, late: 31 * time.Hour, rotates: []string{"monthly"}},
		{month: 3, late: time.Hour, rotates: []string{"monthly", "quarterly"}, others: func() { setSecret(t, secrets, "theirs", "others' second") }},
		{month: 4, late: 20 * 24 * time.Hour, rotates: []string{"monthly"}},
		{month: 5, rotates: []string{"monthly"}, others: func() { web.renew(t) }}, // ten days after the one before, when it is due
		{month: 8, late: time.Minute, rotates: []string{"monthly", "quarterly"}},  // nobody was there for three months
		{month: 9, rotates: []string{"monthly", "quarterly"}, previewed: true},
		{month: 10, late: 3 * time.Hour, rotates: []string{"monthly"}, others: func() { web.renew(t); setSecret(t, secrets, "theirs", "others' third") }},
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
			if said, err := y.tryPulumi(t, "up", "--yes", "--skip-preview"); err == nil ||
				!strings.Contains(err.Error(), "ScopeLocked") {
				t.Errorf("an update into a vault that is read-only ends with %v:\n%s", err, said)
			}
			if getSecret(t, secrets, "monthly") != values["monthly"] {
				t.Error("the vault has a value that nobody wrote")
			}
			y.arm(t, http.MethodDelete, lock, "2020-05-01", "")
		}
		y.pulumi(t, "up", "--yes", "--skip-preview")
		for name, before := range values {
			value, rotates := getSecret(t, secrets, name), slices.Contains(month.rotates, name)
			if rotated := value != before; rotated != rotates {
				t.Errorf("in %s %s has rotated: %t", what, name, rotated)
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
		t.Errorf("the pods with the variable are of revision %s after %d values", revision, made["quarterly"])
	}
	if value := getSecret(t, secrets, "theirs"); value != "others' third" {
		t.Errorf("what others wrote is now %q", value)
	}

	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.read["monthly/0"]) != made["monthly"] || len(y.read["tls.pem"]) != web.versions {
		t.Errorf("the pod has read %d values of the month and %d certificates", len(y.read["monthly/0"]),
			len(y.read["tls.pem"]))
	}
	for file, want := range y.want {
		if !slices.Equal(y.read[file], want) {
			t.Errorf("of %s the pod has read %q, want each value once and whole, in their order: %q", file, y.read[file], want)
		}
	}
	if want := y.want["monthly/0"]; !slices.Equal(y.read["monthly/1"], want[:len(want)-1]) {
		t.Errorf("as the value of before the pod has read %q of %q", y.read["monthly/1"], want)
	}
}

// at sets the program's clock.
func (y *year) at(clock time.Time) {
	y.besides = []string{"CLOCK=" + clock.Format(time.RFC3339)}
}

// startReader has a pod read the files until the test ends, without ever starting again.
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

// follows waits until everybody has what the vault has: the pod that reads, what the driver copies, and the variable.
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
		if err := json.Unmarshal(
			[]byte(y.kubectl(t, "get", "secret", "-n", "year", name, "--output=jsonpath={.data}")),
			&data,
		); err != nil {
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
	eventually(t, when+" the variable has the value", func() bool { // nothing where the pod goes away meanwhile
		logged, _ := y.run(t, "", "kubectl", "logs", "-n", "year", "deploy/variable")
		return logged == digest(value)+"  -\n"
	})
}

// has waits until the pod has read in a file what has the digest.
func (y *year) has(t *testing.T, when, file, sum string) {
	t.Helper()
	if want := y.want[file]; len(want) == 0 || want[len(want)-1] != sum {
		y.want[file] = append(want, sum)
	}
	eventually(t, when+" the pod reads what is new in "+file, func() bool {
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

// wantPlan looks at what a preview says: the values that rotate, and whoever restarts with them.
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
	// It does not know which of the versions will be another, and so not that nobody restarts.
	delete(planned, "mount-probe")
	delete(planned, "variable")
	maps.DeleteFunc(planned, func(_ string, changes bool) bool { return !changes })
	want := map[string]bool{}
	for _, name := range rotates {
		want["vault-value-"+name], want["vault-secret-"+name] = true, true
		said := func(d struct{ Message string }) bool { return strings.Contains(d.Message, "the secret "+name+" ") }
		if !slices.ContainsFunc(preview.Diagnostics, said) {
			t.Errorf("the preview does not say when %s rotates next: %v", name, preview.Diagnostics)
		}
	}
	if !maps.Equal(planned, want) {
		t.Errorf("the preview changes %v, want %v", planned, want)
	}
}

// versions is how many a secret has.
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

// wantExpiry looks whether the month's value expires six weeks after it was due.
func (y *year) wantExpiry(t *testing.T, due time.Time) {
	t.Helper()
	secret, err := y.secrets.GetSecret(t.Context(), "monthly", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if expires := secret.Attributes.Expires; expires == nil || !expires.Equal(due.AddDate(0, 0, 42)) {
		t.Errorf("the value that was due on %s expires on %v", due, expires)
	}
}

// TestRotateEvery_KeepsExistingValue gives a secret RotateEvery, and takes it away again, before a value is due.
func TestRotateEvery_KeepsExistingValue(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	v := newVaults(
		t,
		c,
		map[string]string{
			"secrets": `[{"name": "plain", "generate": {}}, {"name": "turned", "generate": {}, "rotate": "1"}]`,
		},
	)
	v.up(t)
	id, secrets, _ := v.vault(t)
	grant(t, c, id, secretsOfficer)
	values := map[string]string{"plain": getSecret(t, secrets, "plain"), "turned": getSecret(t, secrets, "turned")}
	for _, list := range []string{
		`[{"name": "plain", "generate": {}, "rotateEvery": "P30D"}, {"name": "turned", "generate": {}, "rotate": "1", "rotateEvery": "PT1H"}]`,
		`[{"name": "plain", "generate": {}, "rotateEvery": "P1Y"}, {"name": "turned", "generate": {}, "rotate": "1", "rotateEvery": "P1D"}]`,
		`[{"name": "plain", "generate": {}}, {"name": "turned", "generate": {}, "rotate": "1"}]`,
	} {
		v.setLists(t, list, "[]")
		for name, op := range v.changes(t) {
			if !strings.HasPrefix(name, "vault-rotation-") {
				t.Errorf("with %s it would %s %s", list, op, name)
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
