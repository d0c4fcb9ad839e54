package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// webhook receives events on loopback, with a certificate of the local cloud's authority.
type webhook struct {
	url string

	mu     sync.Mutex
	refuse bool     // rejects the handshake
	got    []string // type and object of each event
}

func newWebhook(t *testing.T, c *cloud) *webhook {
	t.Helper()
	w := &webhook{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		var events []struct {
			EventType, Subject string
			Data               struct{ ValidationCode string }
		}
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil || len(events) != 1 {
			t.Errorf("the webhook received %v, want one event: %v", events, err)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case r.Header.Get("aeg-event-type") != "SubscriptionValidation":
			w.got = append(w.got, strings.TrimPrefix(events[0].EventType, "Microsoft.KeyVault.")+" "+events[0].Subject)
		case !w.refuse:
			_ = json.NewEncoder(answer).Encode(map[string]string{"validationResponse": events[0].Data.ValidationCode})
		}
	}))
	authority, err := tls.LoadX509KeyPair(c.localcloud().Path("edge", "ca.pem"), c.localcloud().Path("edge", "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, key.Public(), authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.url = server.URL + "/events?code=" + webhookToken
	return w
}

const webhookToken = "webhook-token-marker"

// want waits for the events, and a little longer for unwanted ones.
func (w *webhook) want(t *testing.T, events ...string) {
	t.Helper()
	received := func() []string {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Sorted(slices.Values(w.got))
	}
	eventually(t, "the webhook received the events", func() bool { return len(received()) >= len(events) })
	time.Sleep(1500 * time.Millisecond)
	if got := received(); !slices.Equal(got, events) {
		t.Errorf("the webhook received %q, want %q", got, events)
	}
}

// newQueue creates a storage queue whose messages the subscription's owner may read, and returns its ARM id.
func newQueue(t *testing.T, c *cloud) string {
	t.Helper()
	group := "/subscriptions/" + c.running(t).Credentials.SubscriptionID + "/resourceGroups/shared"
	c.arm(t, http.MethodPut, group, "2022-09-01", `{"location": "eastus"}`)
	account := group + "/providers/Microsoft.Storage/storageAccounts/" + queueAccount
	c.arm(t, http.MethodPut, account, "2023-01-01",
		`{"location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}`)
	queue := account + "/queueServices/default/queues/expiry"
	c.arm(t, http.MethodPut, queue, "2023-01-01", `{}`)
	grant(t, c, queue, "8a0f0c08-91a1-4084-bc3d-661d67233fed") // Storage Queue Data Message Processor
	return queue
}

const queueAccount = "sharedevents"

// queued returns the messages of the queue without removing them.
func queued(t *testing.T, c *cloud) (texts []string) {
	t.Helper()
	owner, options, _ := c.azure(t)
	token, err := owner.GetToken(t.Context(),
		policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + queueAccount + ".queue.core.windows.net/expiry/messages?peekonly=true&numofmessages=32"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Token)
	req.Header.Set("x-ms-version", "2024-11-04")
	status, content := send(t, options.Transport, req)
	var list struct {
		Texts []string `xml:"QueueMessage>MessageText"`
	}
	if err := xml.Unmarshal(content, &list); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, content, err)
	}
	for _, text := range list.Texts {
		plain, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(plain))
	}
	return texts
}

// TestExpiryEvents_ArriveOnceWhenDue checks that a webhook, a queue and an e-mail each get one event for a secret that
// expires within 30 days, and none for a later one.
func TestExpiryEvents_ArriveOnceWhenDue(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.start(t)
	hook := newWebhook(t, c)
	config := configuredTexts(t, "dev")
	const secrets = `[{"name": "my-secret", "generate": {}, "expires": "P20D"},
		{"name": "late", "generate": {}, "expires": "P60D"}]`
	config["keyvault-aks:secrets"] = secrets
	config["keyvault-aks:vaultExpiryEvents!"] = asJSON(t, map[string]any{
		"webhooks": map[string]string{"test": hook.url}, "emails": []string{"somebody@example.com"},
		"queues": map[string]string{"test": newQueue(t, c)},
	})

	// A webhook that does not answer the handshake fails the update. The next update succeeds.
	hook.refuse = true
	p := newProgram(t, c, ".", config)
	_, err := p.tryPulumi(t, "up", "--yes", "--skip-preview")
	if err == nil || !strings.Contains(err.Error(), "handshake") || strings.Contains(err.Error(), webhookToken) {
		t.Errorf("up with a webhook that does not answer: got %v, want an error about the handshake without the token", err)
	}
	hook.refuse = false
	p.up(t)
	hook.want(t, "SecretNearExpiry my-secret")
	eventually(t, "a message in the queue", func() bool { return len(queued(t, c)) > 0 })
	if messages := queued(t, c); len(messages) != 1 || !strings.Contains(messages[0], `"subject":"my-secret"`) {
		t.Errorf("the queue has %q, want one event for my-secret", messages)
	}
	if logs := c.localcloud().Logs(100_000); strings.Count(logs, "msg=e-mail to=somebody@example.com") != 1 {
		t.Errorf("the log does not have exactly one e-mail:\n%s", logs)
	}
	p.pulumi(t, "refresh", "--yes", "--skip-preview")
	p.pulumi(t, "preview", "--expect-no-changes")
	// The local cloud's store has the URL, like the values of secrets.
	if found := c.filesWith(t, webhookToken, "azure"); len(found) > 0 {
		t.Errorf("the webhook's token is in %v", found)
	}

	for _, command := range []string{"stop", "start"} {
		if out, err := c.command(t, command).CombinedOutput(); err != nil {
			t.Fatalf("localcloud %s: %v\n%s", command, err, out)
		}
	}
	p.configure(t, map[string]string{"keyvault-aks:secrets": strings.Replace(secrets, "P20D", "P70D", 1)})
	p.up(t)
	hook.want(t, "SecretNearExpiry my-secret")
	p.configure(t, map[string]string{"keyvault-aks:secrets": strings.Replace(secrets, "P60D", "P10D", 1)})
	p.up(t)
	hook.want(t, "SecretNearExpiry late", "SecretNearExpiry my-secret", "SecretNearExpiry my-secret")

	p.configure(t, map[string]string{"keyvault-aks:vaultExpiryEvents": ""})
	p.up(t)
	for _, id := range c.resources(t) {
		if strings.Contains(id, "eventgrid") || strings.Contains(id, "actiongroups") {
			t.Errorf("%s is left after the events were removed", id)
		}
	}
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
}
