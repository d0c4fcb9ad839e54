package azure_test

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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// webhook receives events on loopback. It has a certificate of the local cloud's authority.
type webhook struct {
	url string

	mu     sync.Mutex
	refuse bool
	events []m // without handshakes
}

func (f *fixture) webhook() *webhook {
	f.Helper()
	w := &webhook{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		var events []m
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil || len(events) != 1 {
			f.Errorf("a webhook gets %v %v", events, err)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case r.Header.Get("aeg-event-type") != "SubscriptionValidation":
			w.events = append(w.events, events[0])
		case !w.refuse:
			_ = json.NewEncoder(answer).Encode(m{"validationResponse": events[0]["data"].(m)["validationCode"]})
		}
	}))
	pair, err := tls.LoadX509KeyPair(filepath.Join(f.dir, "edge", "ca.pem"), filepath.Join(f.dir, "edge", "ca-key.pem"))
	f.must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.must(err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, pair.Leaf, key.Public(), pair.PrivateKey)
	f.must(err)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	f.Cleanup(server.Close)
	w.url = server.URL + "/hook?code=token-marker"
	return w
}

// received waits for n events, and a little longer for surplus ones.
func (f *fixture) received(w *webhook, count int) []m {
	f.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		w.mu.Lock()
		got := len(w.events)
		w.mu.Unlock()
		if got >= count || time.Now().After(end) {
			break
		}
	}
	time.Sleep(1200 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) != count {
		f.Fatalf("got events %v, want %d", w.events, count)
	}
	return w.events
}

// topic creates a vault and its topic.
func (f *fixture) topic() (vault, topic string) {
	f.Helper()
	f.group("g")
	f.must(f.putVault("g", "kv-one", nil))
	vault = path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-one")
	topic = path("resourceGroups/g/providers/Microsoft.EventGrid/systemTopics/kv-topic")
	f.put(topic+eventGrid, m{
		"location": location, "properties": m{"source": vault, "topicType": "Microsoft.KeyVault.vaults"},
	})
	return vault, topic
}

const eventGrid = "?api-version=2025-02-15"

func subscribe(destination m, types ...string) m {
	for i, one := range types {
		types[i] = "Microsoft.KeyVault." + one
	}
	return m{"properties": m{"destination": destination, "filter": m{"includedEventTypes": types}}}
}

func toWebhook(url string) m {
	return m{"endpointType": "WebHook", "properties": m{"endpointUrl": url}}
}

func (f *fixture) secret(vault, name string, expires time.Duration) {
	f.Helper()
	f.put(vault+"/secrets/"+name+"?api-version=2024-11-01", m{"properties": m{
		"value": "v", "attributes": m{"exp": time.Now().Add(expires).Unix()},
	}})
}

func TestEvents_ReachWebhookOnceAcrossRestart(t *testing.T) {
	f := newFixture(t)
	hook := f.webhook()
	vault, topic := f.topic()
	status, shown := f.ask(http.MethodPut, topic+"/eventSubscriptions/hook"+eventGrid,
		subscribe(toWebhook(hook.url), "SecretNearExpiry"))
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, shown)
	}
	f.must(f.cloud.Settle(f.Context()))
	properties := f.get(topic + "/eventSubscriptions/hook" + eventGrid)
	for _, one := range []m{properties, shown} {
		text, err := json.Marshal(one)
		f.must(err)
		if strings.Contains(string(text), "token-marker") || !strings.Contains(string(text), "/hook\"") {
			t.Errorf("the subscription is shown as %s", text)
		}
	}
	if properties["provisioningState"] != "Succeeded" {
		t.Errorf("it is %v", properties)
	}
	const day = 24 * time.Hour
	f.secret(vault, "soon", 20*day)
	f.secret(vault, "late", 60*day)
	event := f.received(hook, 1)[0]
	data := event["data"].(m)
	if event["topic"] != vault || event["subject"] != "soon" ||
		event["eventType"] != "Microsoft.KeyVault.SecretNearExpiry" ||
		data["ObjectType"] != "Secret" ||
		!strings.HasPrefix(data["Id"].(string), "https://kv-one.vault.azure.net/secrets/soon/") {
		t.Errorf("the event is %v", event)
	}
	f.stop()
	f.start()
	f.received(hook, 1)
	f.secret(vault, "soon", 70*day)
	f.received(hook, 1)
	f.secret(vault, "soon", 10*day)
	f.received(hook, 2)
	f.delete(topic + "/eventSubscriptions/hook" + eventGrid)
	f.secret(vault, "soon", 10*day)
	f.received(hook, 2)
	if log := f.log.String(); strings.Contains(log, "token-marker") || !strings.Contains(log, "outcome=delivered") {
		t.Errorf("the log has the webhook's token, or nothing of events: %s", log)
	}
}

func TestEventSubscription_FailsWithoutHandshake(t *testing.T) {
	f := newFixture(t)
	hook := f.webhook()
	vault, topic := f.topic()
	hook.refuse = true
	at := topic + "/eventSubscriptions/hook" + eventGrid
	f.put(at, subscribe(toWebhook(hook.url), "SecretNearExpiry"))
	if state := f.get(at)["provisioningState"]; state != "Failed" {
		t.Errorf("the subscription is %v", state)
	}
	f.secret(vault, "soon", 24*time.Hour)
	f.received(hook, 0)
	hook.refuse = false
	f.put(at, subscribe(toWebhook(hook.url), "SecretNearExpiry"))
	f.secret(vault, "sooner", 24*time.Hour)
	if event := f.received(hook, 1)[0]; event["subject"] != "sooner" {
		t.Errorf("event of an object older than the subscription: %v", event)
	}
}

func TestAlert_SendsEmails(t *testing.T) {
	f := newFixture(t)
	vault, topic := f.topic()
	group := path("resourceGroups/g/providers/Microsoft.Insights/actionGroups/people")
	f.put(group+"?api-version=2023-01-01", m{"location": "Global", "properties": m{
		"groupShortName": "people", "enabled": true, "emailReceivers": []m{{"name": "a", "emailAddress": "a@example.com"}},
	}})
	alert := m{"endpointType": "MonitorAlert", "properties": m{"severity": "Sev2", "actionGroups": []string{group}}}
	body := subscribe(alert, "SecretNearExpiry")
	// An alert requires the schema of CloudEvents.
	f.wantRefused(topic+"/eventSubscriptions/alert"+eventGrid, body, http.StatusBadRequest, "InvalidRequest")
	body["properties"].(m)["eventDeliverySchema"] = "CloudEventSchemaV1_0"
	f.wantRefused(topic+"/eventSubscriptions/alert?api-version=2022-06-15", body, http.StatusBadRequest, "InvalidRequest")
	f.put(topic+"/eventSubscriptions/alert"+eventGrid, body)
	f.secret(vault, "soon", 24*time.Hour)
	const mail = "msg=e-mail to=a@example.com severity=Sev2 alert=alert " +
		"type=Microsoft.KeyVault.SecretNearExpiry vault=kv-one object=soon"
	end := time.Now().Add(20 * time.Second)
	for ; !strings.Contains(f.log.String(), mail); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no e-mail in %s", f.log)
		}
	}
}

func (f *fixture) wantRefused(at string, body any, status int, code string) {
	f.Helper()
	if got, gotCode := f.call(http.MethodPut, at, body); got != status || gotCode != code {
		f.Errorf("%s: %d %s, want %d %s", at, got, gotCode, status, code)
	}
}

func TestEventGrid_RefusesInvalidTopicsAndSubscriptions(t *testing.T) {
	f := newFixture(t)
	vault, topic := f.topic()
	f.must(f.putVault("g", "kv-two", nil))
	other := strings.Replace(vault, "kv-one", "kv-two", 1)
	source := func(location, source string) m {
		return m{"location": location, "properties": m{"source": source, "topicType": "Microsoft.KeyVault.vaults"}}
	}
	hook := func(change func(properties m)) m {
		body := subscribe(toWebhook("https://localhost:1/"), "SecretNearExpiry")
		change(body["properties"].(m))
		return body
	}
	second, sub := strings.Replace(topic, "kv-topic", "second", 1)+eventGrid, topic+"/eventSubscriptions/hook"+eventGrid
	for name, test := range map[string]struct {
		at   string
		body m
		code string
	}{
		"a second topic of a vault":   {second, source(location, vault), "InvalidRequest"},
		"a topic in another location": {second, source("westus", other), "InvalidRequest"},
		"a topic of no vault":         {second, source(location, other+"x"), "InvalidRequest"},
		"a topic that moves":          {topic + eventGrid, source(location, other), "InvalidRequest"},
		"a topic of another type": {second, m{"location": location, "properties": m{
			"source": path("resourceGroups/g"), "topicType": "Microsoft.Resources.ResourceGroups",
		}}, "NotImplemented"},
		"http": {
			sub, subscribe(toWebhook("http://localhost:1/"), "SecretNearExpiry"), "InvalidRequest",
		},
		"a webhook elsewhere": {
			sub, subscribe(toWebhook("https://example.com/"), "SecretNearExpiry"), "NotImplemented",
		},
		"an event that there is not": {sub, subscribe(toWebhook("https://localhost:1/"), "SecretGone"), "InvalidRequest"},
		"an unsupported event": {
			sub, subscribe(toWebhook("https://localhost:1/"), "SecretNewVersionCreated"), "NotImplemented",
		},
		"too many attempts": {
			sub, hook(func(p m) { p["retryPolicy"] = m{"maxDeliveryAttempts": 31} }), "InvalidRequest",
		},
		"an unsupported filter": {
			sub, hook(func(p m) { p["filter"].(m)["subjectBeginsWith"] = "a" }), "NotImplemented",
		},
		"an unknown property": {
			sub, hook(func(p m) { p["deadLetterDestination"] = m{"endpointType": "StorageBlob"} }), "NotImplemented",
		},
		"another destination": {
			sub,
			hook(func(p m) { p["destination"] = m{"endpointType": "EventHub", "properties": m{"resourceId": "q"}} }),
			"NotImplemented",
		},
		"an alert to a missing group": {sub, hook(func(p m) {
			p["eventDeliverySchema"] = "CloudEventSchemaV1_0"
			p["destination"] = m{
				"endpointType": "MonitorAlert", "properties": m{"severity": "Sev2", "actionGroups": []string{vault}},
			}
		}), "InvalidRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, code := f.call(http.MethodPut, test.at, test.body); code != test.code {
				t.Errorf("%d %s, want %s", status, code, test.code)
			}
		})
	}
	// A subscriber also needs permissions on the vault.
	as, principal := f.principal()
	if _, err := f.assign(topic, "b24988ac-6180-42a0-ab88-20f7382dd24c", principal, nil); err != nil { // Contributor
		t.Fatal(err)
	}
	as.wantRefused(sub, hook(func(m) {}), http.StatusForbidden, "LinkedAuthorizationFailed")
}

// queue creates a storage account with a queue.
func (f *fixture) queue() (account, queue string) {
	f.Helper()
	account = path("resourceGroups/g/providers/Microsoft.Storage/storageAccounts/eventstore")
	f.put(account+storageVersion, m{"location": location, "kind": "StorageV2", "sku": m{"name": "Standard_LRS"}})
	queue = account + "/queueServices/default/queues/expiry"
	f.put(queue+storageVersion, m{})
	return account, queue
}

const storageVersion = "?api-version=2023-01-01"

func toQueue(account string) m {
	return m{"endpointType": "StorageQueue", "properties": m{"resourceId": account, "queueName": "expiry"}}
}

// messages sends a request to the queue's data plane. It returns the status or the error's code, and the messages.
func (f *fixture) messages(method, path string) (status string, shown []queueMessage) {
	f.Helper()
	token, err := f.owner.GetToken(f.Context(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	f.must(err)
	req, err := http.NewRequestWithContext(f.Context(), method,
		"https://eventstore.queue.core.windows.net/expiry/messages"+path, nil)
	f.must(err)
	req.Header.Set("Authorization", "Bearer "+token.Token)
	req.Header.Set("x-ms-version", "2024-11-04")
	resp, err := f.client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	var list struct {
		XMLName  xml.Name       `xml:"QueueMessagesList"`
		Messages []queueMessage `xml:"QueueMessage"`
	}
	if status = resp.Header.Get("x-ms-error-code"); status != "" {
		return status, nil
	}
	if resp.StatusCode == http.StatusOK {
		f.must(xml.NewDecoder(resp.Body).Decode(&list))
	}
	return resp.Status, list.Messages
}

type queueMessage struct {
	ID           string `xml:"MessageId"`
	PopReceipt   string
	DequeueCount int
	MessageText  string
}

func TestEvents_ReachQueue(t *testing.T) {
	f := newFixture(t)
	vault, topic := f.topic()
	account, queue := f.queue()
	reader, objectID := f.principal()
	f.put(topic+"/eventSubscriptions/queue"+eventGrid, subscribe(toQueue(account), "SecretNearExpiry"))
	f.secret(vault, "soon", 24*time.Hour)
	if status, _ := reader.messages(http.MethodGet, "?peekonly=true"); status != "AuthorizationPermissionMismatch" {
		t.Errorf("without a role: %s", status)
	}
	_, err := f.assign(queue, "974c5e8b-45b9-4653-ba55-5f855dd0fb88", objectID, nil) // Storage Queue Data Contributor
	f.must(err)
	var found []queueMessage
	end := time.Now().Add(20 * time.Second)
	for ; len(found) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_, found = reader.messages(http.MethodGet, "?peekonly=true&numofmessages=32")
	}
	if len(found) != 1 || found[0].PopReceipt != "" || found[0].DequeueCount != 0 {
		t.Fatalf("the queue has %v", found)
	}
	_, taken := reader.messages(http.MethodGet, "?visibilitytimeout=60")
	if len(taken) != 1 || taken[0].ID != found[0].ID || taken[0].PopReceipt == "" || taken[0].DequeueCount != 1 {
		t.Fatalf("taken is %v", taken)
	}
	text, err := base64.StdEncoding.DecodeString(taken[0].MessageText)
	f.must(err)
	var event m
	if err := json.Unmarshal(text, &event); err != nil || event["subject"] != "soon" || event["topic"] != vault {
		t.Errorf("the message is %s: %v", text, err)
	}
	if _, again := reader.messages(http.MethodGet, ""); len(again) != 0 {
		t.Errorf("a taken message was returned again: %v", again)
	}
	if status, _ := reader.messages(http.MethodDelete,
		"/"+taken[0].ID+"?popreceipt=another"); status != "PopReceiptMismatch" {
		t.Errorf("a delete with another receipt is answered %s", status)
	}
	if status, _ := reader.messages(http.MethodDelete,
		"/"+taken[0].ID+"?popreceipt="+taken[0].PopReceipt); status != "204 No Content" {
		t.Errorf("a delete is answered %s", status)
	}
	if status, _ := reader.messages(http.MethodDelete,
		"/"+taken[0].ID+"?popreceipt="+taken[0].PopReceipt); status != "MessageNotFound" {
		t.Errorf("a second delete is answered %s", status)
	}
	f.delete(account + storageVersion)
	if status, _ := reader.messages(http.MethodGet, "?peekonly=true"); status != "ResourceNotFound" {
		t.Errorf("an account that is gone answers %s", status)
	}
}

func TestStorageAccount_RefusesInvalidBodies(t *testing.T) {
	f := newFixture(t)
	_, topic := f.topic()
	account, queue := f.queue()
	f.group("other")
	elsewhere := strings.Replace(account, "/g/", "/other/", 1)
	body := m{"location": location, "kind": "StorageV2", "sku": m{"name": "Standard_LRS"}}
	f.wantRefused(elsewhere+storageVersion, body, http.StatusConflict, "StorageAccountAlreadyTaken")
	f.wantRefused(strings.Replace(elsewhere, "eventstore", "BlobOnly", 1)+storageVersion, body, http.StatusBadRequest,
		"InvalidResourceName")
	body["kind"] = "BlobStorage"
	f.wantRefused(strings.Replace(elsewhere, "eventstore", "another", 1)+storageVersion, body, http.StatusNotImplemented,
		"NotImplemented")
	f.wantRefused(strings.Replace(queue, "expiry", "a--b", 1)+storageVersion, m{}, http.StatusBadRequest,
		"InvalidResourceName")
	sub := topic + "/eventSubscriptions/queue" + eventGrid
	to := toQueue(account)
	to["properties"].(m)["queueName"] = "none"
	f.wantRefused(sub, subscribe(to, "SecretNearExpiry"), http.StatusBadRequest, "InvalidRequest")
	f.wantRefused(sub, subscribe(toQueue(topic), "SecretNearExpiry"), http.StatusBadRequest, "InvalidRequest")
	// A subscriber also needs permissions on the queue.
	as, principal := f.principal()
	_, err := f.assign(path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-one"),
		"b24988ac-6180-42a0-ab88-20f7382dd24c", principal, nil)
	f.must(err)
	_, err = f.assign(topic, "b24988ac-6180-42a0-ab88-20f7382dd24c", principal, nil)
	f.must(err)
	as.wantRefused(sub, subscribe(toQueue(account), "SecretNearExpiry"), http.StatusForbidden, "LinkedAuthorizationFailed")
}
