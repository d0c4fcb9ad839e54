package eventgrid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	day     = 24 * time.Hour
	vaultID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-one"
)

// world has a vault and a subscription whose webhook answers with a status. Tests move its time.
type world struct {
	*testing.T
	*Service
	vault  keyvault.Vault
	to     Subscription
	at     time.Time
	status int

	mu  sync.Mutex
	got []string // type, object and delivery count of what the webhook was sent
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, at: time.Now(), status: http.StatusOK, vault: keyvault.Vault{ID: vaultID, Name: "kv-one"}}
	webhook := httptest.NewTLSServer(http.HandlerFunc(w.receive))
	t.Cleanup(webhook.Close)
	st, err := store.Open(filepath.Join(t.TempDir(), "azure.db"))
	w.must(err)
	t.Cleanup(func() { _ = st.Close() })
	w.Service = New(st, webhook.Client(), slog.New(slog.DiscardHandler))
	w.now = func() time.Time { return w.at }
	w.to = Subscription{
		ID:       vaultID + "/eventSubscriptions/to-me",
		Vault:    vaultID,
		Types:    Types,
		Ready:    true,
		Created:  w.at,
		Webhook:  webhook.URL + "?code=t",
		Attempts: 30,
		Life:     day,
	}
	w.update(func(tx *store.Tx) error {
		return firstOf(keyvault.PutVault(tx, w.vault), PutSubscription(tx, w.to))
	})
	return w
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) update(f func(*store.Tx) error) {
	w.Helper()
	w.must(w.store.Update(f))
}

func (w *world) receive(answer http.ResponseWriter, r *http.Request) {
	var events []struct {
		Topic, Subject, EventType, DataVersion string
		Data                                   map[string]any
	}
	err := json.NewDecoder(r.Body).Decode(&events)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || len(events) != 1 || r.Header.Get("aeg-event-type") != "Notification" || r.URL.RawQuery != "code=t" ||
		events[0].Topic != vaultID || events[0].DataVersion != "1" || events[0].Data["ObjectName"] != events[0].Subject ||
		events[0].Data["VaultName"] != "kv-one" || events[0].Data["EXP"] == nil {
		w.Errorf("%v: %s %v %v", err, r.URL, r.Header, events)
		return
	}
	kind := strings.TrimPrefix(events[0].EventType, Namespace)
	w.got = append(w.got, kind+" "+events[0].Subject+" "+r.Header.Get("aeg-delivery-count"))
	answer.WriteHeader(w.status)
}

// want moves the time, delivers due events and checks which events the webhook got.
func (w *world) want(after time.Duration, events ...string) {
	w.Helper()
	w.at = w.at.Add(after)
	w.must(w.look(w.Context()))
	w.sending.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := slices.Sorted(slices.Values(w.got)); !slices.Equal(got, events) {
		w.Errorf("the webhook got %q, want %q", got, events)
	}
	w.got = nil
}

// secret creates a version of a secret that expires after a time.
func (w *world) secret(name string, after time.Duration) {
	w.Helper()
	expires := w.at.Add(after).Unix()
	w.update(func(tx *store.Tx) error {
		_, err := keyvault.SetSecret(tx, w.vault, name,
			keyvault.SecretValue{Value: "v", Attributes: keyvault.Attributes{Expires: &expires}})
		return err
	})
}

func TestService_RaisesEachEventOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secret("late", 60*day)
	w.secret("soon", 20*day)
	w.want(0, "SecretNearExpiry soon 0")
	w.want(0)
	w.want(19 * day)
	w.want(day, "SecretExpired soon 0")
	w.want(10*day, "SecretNearExpiry late 0")
	w.want(day)
	// A new version with a later date raises no event yet, and the old version raises none any more.
	w.secret("late", 90*day)
	w.want(30 * day)
	w.want(30*day, "SecretNearExpiry late 0")
	w.secret("late", 20*day)
	w.want(time.Second, "SecretNearExpiry late 0")
}

func TestService_IgnoresVersionsBeforeTheSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secret("before", 20*day)
	w.to.Created = w.at.Add(time.Minute)
	w.update(func(tx *store.Tx) error { return PutSubscription(tx, w.to) })
	w.want(time.Hour)
	w.to.Created, w.to.Ready = w.at.Add(-time.Minute), false
	w.update(func(tx *store.Tx) error { return PutSubscription(tx, w.to) })
	w.want(time.Hour)
	w.to.Created, w.to.Ready, w.to.Types = time.Time{}, true, []string{Namespace + "SecretExpired"}
	w.update(func(tx *store.Tx) error { return PutSubscription(tx, w.to) })
	w.want(time.Hour)
	w.want(20*day, "SecretExpired before 0")
}

func TestService_FollowsRotationPoliciesOfKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	expires := w.at.Add(60 * day).Unix()
	w.update(func(tx *store.Tx) error {
		for _, name := range []string{"ten", "thirty"} {
			spec := keyvault.KeySpec{Type: "EC", Attributes: keyvault.Attributes{Expires: &expires}}
			if _, err := keyvault.CreateKey(tx, w.vault, name, spec); err != nil {
				return err
			}
		}
		var policy keyvault.RotationPolicy
		text := `{"attributes": {"expiryTime": "P60D"}, "lifetimeActions": [
			{"trigger": {"timeBeforeExpiry": "P10D"}, "action": {"type": "notify"}}]}`
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			return err
		}
		_, err := keyvault.SetRotationPolicy(tx, w.vault, "ten", policy)
		return err
	})
	w.want(29 * day)
	w.want(day, "KeyNearExpiry thirty 0")
	w.want(19 * day)
	w.want(day, "KeyNearExpiry ten 0")
	w.want(10*day, "KeyExpired ten 0", "KeyExpired thirty 0")
}

func TestService_ReportsExpiryOfCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: w.at.Add(40 * day)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	w.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	w.must(err)
	value := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	value = append(value, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	w.update(func(tx *store.Tx) error {
		given := keyvault.CertificateImport{Value: string(value)}
		w.must(json.Unmarshal([]byte(`{"policy": {"secret_props": {"contentType": "application/x-pem-file"}}}`), &given))
		_, err := keyvault.ImportCertificate(tx, w.vault, "tls", given)
		return err
	})
	w.want(9 * day)
	w.want(day, "CertificateNearExpiry tls 0")
	w.want(30*day, "CertificateExpired tls 0")
}

func TestService_RetriesAndGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.to.Attempts = 4
	w.update(func(tx *store.Tx) error { return PutSubscription(tx, w.to) })
	w.secret("one", 20*day)
	w.status = http.StatusInternalServerError
	w.want(0, "SecretNearExpiry one 0")
	w.want(9 * time.Second)
	w.want(time.Second, "SecretNearExpiry one 1")
	w.want(29 * time.Second)
	w.status = http.StatusNotFound
	w.want(time.Second, "SecretNearExpiry one 2")
	w.want(4 * time.Minute) // longer after a 404
	w.status = http.StatusInternalServerError
	w.want(time.Minute, "SecretNearExpiry one 3")
	w.want(time.Hour) // no attempts are left
	w.status = http.StatusUnauthorized
	w.secret("two", 20*day)
	w.want(0, "SecretNearExpiry two 0")
	w.want(time.Hour) // Event Grid does not retry after 401
	w.status = http.StatusServiceUnavailable
	w.to.Life = time.Minute
	w.update(func(tx *store.Tx) error { return PutSubscription(tx, w.to) })
	w.secret("three", 19*day)
	w.want(0, "SecretNearExpiry three 0")
	w.want(30*time.Second, "SecretNearExpiry three 1")
	w.want(time.Hour) // too old
}

// TestService_SlowWebhookDelaysNoOther checks that a webhook that does not answer gets one request and delays no other.
func TestService_SlowWebhookDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked, answer := make(chan struct{}, 9), make(chan struct{})
	hung := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answer
	}))
	defer hung.Close()
	w.client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	other := w.to
	other.ID, other.Webhook = vaultID+"/eventSubscriptions/hung", hung.URL
	w.update(func(tx *store.Tx) error { return PutSubscription(tx, other) })
	told := func(event string) {
		t.Helper()
		for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			w.mu.Lock()
			got := slices.Contains(w.got, event)
			w.mu.Unlock()
			if got {
				return
			}
			w.must(w.look(w.Context()))
		}
		t.Errorf("the webhook did not get %s", event)
	}
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		w.secret("one", 20*day)
		told("SecretNearExpiry one 0")
		<-asked
		w.secret("two", 20*day)
		told("SecretNearExpiry two 0")
	}()
	select {
	case <-looked:
	case <-time.After(20 * time.Second):
		t.Error("a webhook that does not answer delays another one")
	}
	if len(asked) > 0 {
		t.Errorf("the webhook that does not answer got %d more requests", len(asked))
	}
	close(answer)
	w.sending.Wait()
}

func TestService_DeletesDeliveriesWithTheSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secret("one", 20*day)
	w.status = http.StatusInternalServerError
	w.want(0, "SecretNearExpiry one 0")
	w.update(func(tx *store.Tx) error { return DeleteSubscription(tx, w.to.ID) })
	w.want(time.Hour)
	w.update(func(tx *store.Tx) error { return PutSubscription(tx, w.to) })
	w.want(0, "SecretNearExpiry one 0")
}
