package eventgrid

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/storage"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	interval    = 500 * time.Millisecond // between checks for due events
	webhookTime = 30 * time.Second       // timeout (learn.microsoft.com/azure/event-grid/delivery-and-retry)
)

// retries lists the waits between attempts, without Azure's randomization. The last one repeats
// (learn.microsoft.com/azure/event-grid/delivery-and-retry).
var retries = []time.Duration{
	10 * time.Second,
	30 * time.Second,
	time.Minute,
	5 * time.Minute,
	10 * time.Minute,
	30 * time.Minute,
	time.Hour,
	3 * time.Hour,
	6 * time.Hour,
	12 * time.Hour,
}

var (
	// final lists the answers of a webhook after which an event is dropped.
	final = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge}
	// slow has the least waits after some answers of a webhook.
	slow = map[int]time.Duration{
		http.StatusNotFound:           5 * time.Minute,
		http.StatusRequestTimeout:     2 * time.Minute,
		http.StatusServiceUnavailable: 30 * time.Second,
	}
)

// Service raises and delivers events.
type Service struct {
	store  *store.Store
	client *http.Client
	log    *slog.Logger
	now    func() time.Time

	sending sync.WaitGroup
	mu      sync.Mutex
	busy    map[string]bool // subscriptions with a delivery under way, by id
}

// New returns a new Service. client sends events to webhooks. log receives a line for each event and each e-mail, which
// are not sent.
func New(st *store.Store, client *http.Client, log *slog.Logger) *Service {
	return &Service{store: st, client: client, log: log, now: time.Now, busy: map[string]bool{}}
}

// Run raises and delivers events until ctx ends.
func (s *Service) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	defer s.sending.Wait()
	for {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("raising events", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look raises due events and starts the deliveries, to all subscriptions in parallel. It skips subscriptions with a
// delivery under way, so that a slow webhook does not delay events of others.
func (s *Service) look(ctx context.Context) error {
	now := s.now()
	s.mu.Lock()
	busy := maps.Clone(s.busy)
	s.mu.Unlock()
	to := map[string]Subscription{}
	var waiting, raised []delivery
	if err := s.store.View(func(tx *store.Tx) error {
		all, err := store.List[Subscription](tx, subscriptions, "")
		if err != nil || len(all) == 0 {
			return err
		}
		for _, one := range all {
			if one.Ready {
				to[one.ID] = one
			}
		}
		if raised, err = unraised(tx, all, now); err != nil {
			return err
		}
		waiting, err = store.List[delivery](tx, deliveries, "")
		return err
	}); err != nil {
		return err
	}
	if len(raised) > 0 { // saves a write if there is nothing to raise
		if err := s.store.Update(func(tx *store.Tx) error {
			for _, d := range raised {
				if err := put(tx, d); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	lists := map[string][]delivery{}
	for _, d := range append(waiting, raised...) {
		if _, ready := to[d.Subscription]; ready && !busy[d.Subscription] && !d.Done && !d.Next.After(now) {
			lists[d.Subscription] = append(lists[d.Subscription], d)
		}
	}
	for id, list := range lists {
		s.setBusy(id, true)
		s.sending.Go(func() {
			defer s.setBusy(id, false)
			for _, d := range list {
				s.deliver(ctx, to[id], d)
			}
		})
	}
	return nil
}

func (s *Service) setBusy(id string, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[id] = busy
}

// put saves a delivery, unless its subscription has been deleted.
func put(tx *store.Tx, d delivery) error {
	if _, exists, err := GetSubscription(tx, d.Subscription); err != nil || !exists {
		return err
	}
	return store.Put(tx, deliveries, d.key(), d)
}

// deliver tries once to deliver an event, and saves the result.
func (s *Service) deliver(ctx context.Context, to Subscription, d delivery) {
	end := d.Event.Time.Add(to.Life)
	status, outcome := 0, "dropped"
	if d.Done = s.now().After(end); !d.Done {
		var err error
		d.Attempts++
		if status, err = s.send(ctx, to, d); ctx.Err() != nil {
			return
		}
		d.Next = s.now().Add(max(retries[min(d.Attempts, len(retries))-1], slow[status]))
		switch {
		case err == nil && status >= 200 && status <= 299:
			d.Done, outcome = true, "delivered"
		case slices.Contains(final, status) || d.Attempts >= to.Attempts || d.Next.After(end):
			d.Done = true
		default:
			outcome = "tried again later"
		}
	}
	s.log.Info("event",
		"type", d.Event.Type, "vault", d.Event.Data.VaultName, "object", d.Event.Subject, "subscription", to.name(),
		"attempt", d.Attempts, "status", status, "outcome", outcome)
	// If the store fails, every request fails too.
	_ = s.store.Update(func(tx *store.Tx) error { return put(tx, d) })
}

// send sends an event and returns the HTTP status of the webhook or queue. It writes the e-mails of an alert to the
// log.
func (s *Service) send(ctx context.Context, to Subscription, d delivery) (int, error) {
	e := d.Event
	body := map[string]any{
		"id":              e.ID,
		"topic":           e.Vault,
		"subject":         e.Subject,
		"eventType":       e.Type,
		"eventTime":       e.Time.Format(time.RFC3339Nano),
		"data":            e.Data,
		"dataVersion":     "1",
		"metadataVersion": "1",
	}
	switch {
	case to.Queue != "":
		return s.enqueue(to, body)
	case to.Webhook == "":
		return http.StatusOK, s.mail(to, e)
	}
	status, _, err := post(ctx, s.client, to, "Notification", d.Attempts-1, []map[string]any{body})
	return status, err
}

// enqueue puts an event into a storage queue, in base64 (learn.microsoft.com/azure/event-grid/handler-storage-queues).
func (s *Service) enqueue(to Subscription, event any) (int, error) {
	text, err := json.Marshal(event)
	if err != nil {
		return 0, fmt.Errorf("encoding an event: %w", err)
	}
	status := http.StatusCreated
	err = s.store.Update(func(tx *store.Tx) error {
		exists, err := storage.PutMessage(tx, to.Account, to.Queue, base64.StdEncoding.EncodeToString(text))
		if !exists {
			status = http.StatusNotFound
		}
		return err
	})
	return status, err
}

// mail writes the e-mails of an alert's action groups to the log, which localcloud logs shows.
func (s *Service) mail(to Subscription, e event) error {
	var addresses []string
	if err := s.store.View(func(tx *store.Tx) error {
		for _, group := range to.Groups {
			its, _, err := store.Get[[]string](tx, actionGroups, strings.ToLower(group))
			if err != nil {
				return err
			}
			addresses = append(addresses, its...)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, address := range addresses {
		s.log.Info("e-mail",
			"to", address, "severity", to.Severity, "alert", to.name(), "type", e.Type, "vault", e.Data.VaultName,
			"object", e.Subject, "expires", time.Unix(*e.Data.Expires, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// post sends events to a webhook as described in learn.microsoft.com/azure/event-grid/webhook-event-delivery. It
// returns the status and the body of the answer.
func post(
	ctx context.Context, client *http.Client, to Subscription, kind string, retry int, events any,
) (int, []byte, error) {
	body, err := json.Marshal(events)
	if err != nil {
		return 0, nil, fmt.Errorf("encoding an event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, webhookTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Webhook, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("asking a webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("aeg-event-type", kind)
	req.Header.Set("aeg-subscription-name", strings.ToUpper(to.name()))
	req.Header.Set("aeg-delivery-count", strconv.Itoa(retry))
	req.Header.Set("aeg-data-version", "1")
	req.Header.Set("aeg-metadata-version", "1")
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking a webhook: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return resp.StatusCode, nil, fmt.Errorf("reading a webhook's answer: %w", err)
	}
	return resp.StatusCode, answer, nil
}

// Validate sends a validation code to a webhook, which must answer with the code. Azure also sends a URL that a person
// can open within ten minutes instead; Validate sends none.
func Validate(ctx context.Context, client *http.Client, to Subscription) error {
	code := strings.ToUpper(uuid.NewString())
	events := []map[string]any{
		{
			"id":              uuid.NewString(),
			"topic":           to.Vault,
			"subject":         "",
			"eventType":       "Microsoft.EventGrid.SubscriptionValidationEvent",
			"eventTime":       time.Now().UTC().Format(time.RFC3339Nano),
			"data":            map[string]string{"validationCode": code},
			"dataVersion":     "1",
			"metadataVersion": "1",
		},
	}
	status, answer, err := post(ctx, client, to, "SubscriptionValidation", 0, events)
	if err != nil {
		return fmt.Errorf("Http POST request failed with response code Unknown") //nolint:staticcheck // Azure's own words
	}
	var given struct {
		Code string `json:"validationResponse"`
	}
	switch {
	case status < 200 || status > 299:
		//nolint:staticcheck // as above
		return fmt.Errorf("Http POST request failed with response code %s", http.StatusText(status))
	case json.Unmarshal(answer, &given) != nil || !strings.EqualFold(given.Code, code):
		//nolint:staticcheck // as above
		return fmt.Errorf("Http POST request returned 2XX response without the validation code in its body")
	}
	return nil
}
