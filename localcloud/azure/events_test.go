package azure_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// webhook receives events on loopback, with a certificate of the local cloud's authority.
type webhook struct {
	url string

	mu     sync.Mutex
	refuse bool
	events []m // but for handshakes
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

// received waits until so many events have come, and a little longer for one too many.
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
	time.Sleep(2500 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) != count {
		f.Fatalf("the webhook has got %v, want %d", w.events, count)
	}
	return w.events
}

// topic makes a vault and its topic.
func (f *fixture) topic() (vault, topic string) {
	f.Helper()
	f.group("g")
	f.must(f.putVault("g", "kv-one", nil))
	vault = path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-one")
	topic = path("resourceGroups/g/providers/Microsoft.EventGrid/systemTopics/kv-topic")
	f.put(topic+eventGrid, m{"location": location, "properties": m{"source": vault, "topicType": "Microsoft.KeyVault.vaults"}})
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

func TestEvents_ComeOnceToAWebhookAlsoAfterARestart(t *testing.T) {
	f := newFixture(t)
	hook := f.webhook()
	vault, topic := f.topic()
	status, shown := f.ask(http.MethodPut, topic+"/eventSubscriptions/hook"+eventGrid, subscribe(toWebhook(hook.url), "SecretNearExpiry"))
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
	if event["topic"] != vault || event["subject"] != "soon" || event["eventType"] != "Microsoft.KeyVault.SecretNearExpiry" ||
		data["ObjectType"] != "Secret" || !strings.HasPrefix(data["Id"].(string), "https://kv-one.vault.azure.net/secrets/soon/") {
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

func TestEventSubscription_FailsWhereTheWebhookDoesNotAnswerTheHandshake(t *testing.T) {
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
		t.Errorf("there is an event of what was there before the subscription: %v", event)
	}
}

func TestAlert_SendsEMails(t *testing.T) {
	f := newFixture(t)
	vault, topic := f.topic()
	group := path("resourceGroups/g/providers/Microsoft.Insights/actionGroups/people")
	f.put(group+"?api-version=2023-01-01", m{"location": "Global", "properties": m{
		"groupShortName": "people", "emailReceivers": []m{{"name": "a", "emailAddress": "a@example.com"}},
	}})
	body := subscribe(m{"endpointType": "MonitorAlert", "properties": m{"severity": "Sev2", "actionGroups": []string{group}}}, "SecretNearExpiry")
	f.wantRefused(topic+"/eventSubscriptions/alert"+eventGrid, body, http.StatusBadRequest, "InvalidRequest") // for its schema
	body["properties"].(m)["eventDeliverySchema"] = "CloudEventSchemaV1_0"
	f.wantRefused(topic+"/eventSubscriptions/alert?api-version=2022-06-15", body, http.StatusBadRequest, "InvalidRequest")
	f.put(topic+"/eventSubscriptions/alert"+eventGrid, body)
	f.secret(vault, "soon", 24*time.Hour)
	const mail = "msg=e-mail to=a@example.com severity=Sev2 alert=alert type=Microsoft.KeyVault.SecretNearExpiry vault=kv-one object=soon"
	for end := time.Now().Add(20 * time.Second); !strings.Contains(f.log.String(), mail); time.Sleep(50 * time.Millisecond) {
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

func TestTopicsAndSubscriptionsThatEventGridRefuses(t *testing.T) {
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
		"a second topic of a vault":    {second, source(location, vault), "InvalidRequest"},
		"a topic in another location":  {second, source("westus", other), "InvalidRequest"},
		"a topic of no vault":          {second, source(location, other+"x"), "InvalidRequest"},
		"a topic that moves":           {topic + eventGrid, source(location, other), "InvalidRequest"},
		"a topic of another type":      {second, m{"location": location, "properties": m{"source": path("resourceGroups/g"), "topicType": "Microsoft.Resources.ResourceGroups"}}, "NotImplemented"},
		"http":                         {sub, subscribe(toWebhook("http://localhost:1/"), "SecretNearExpiry"), "InvalidRequest"},
		"a webhook elsewhere":          {sub, subscribe(toWebhook("https://example.com/"), "SecretNearExpiry"), "NotImplemented"},
		"an event that there is not":   {sub, subscribe(toWebhook("https://localhost:1/"), "SecretGone"), "InvalidRequest"},
		"an event that is not here":    {sub, subscribe(toWebhook("https://localhost:1/"), "SecretNewVersionCreated"), "NotImplemented"},
		"too many attempts":            {sub, hook(func(p m) { p["retryPolicy"] = m{"maxDeliveryAttempts": 31} }), "InvalidRequest"},
		"a filter that is not here":    {sub, hook(func(p m) { p["filter"].(m)["subjectBeginsWith"] = "a" }), "NotImplemented"},
		"what the model does not know": {sub, hook(func(p m) { p["deadLetterDestination"] = m{"endpointType": "StorageBlob"} }), "NotImplemented"},
		"a queue":                      {sub, hook(func(p m) { p["destination"] = m{"endpointType": "StorageQueue", "properties": m{"queueName": "q"}} }), "NotImplemented"},
		"an alert to no group there is": {sub, hook(func(p m) {
			p["eventDeliverySchema"] = "CloudEventSchemaV1_0"
			p["destination"] = m{"endpointType": "MonitorAlert", "properties": m{"severity": "Sev2", "actionGroups": []string{vault}}}
		}), "InvalidRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, code := f.call(http.MethodPut, test.at, test.body); code != test.code {
				t.Errorf("%d %s, want %s", status, code, test.code)
			}
		})
	}
	// Whoever subscribes must have rights on the vault too.
	as, principal := f.principal()
	if _, err := f.assign(topic, "b24988ac-6180-42a0-ab88-20f7382dd24c", principal, nil); err != nil { // Contributor
		t.Fatal(err)
	}
	as.wantRefused(sub, hook(func(m) {}), http.StatusForbidden, "LinkedAuthorizationFailed")
}
