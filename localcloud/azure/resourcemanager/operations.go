package resourcemanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Operation is one that outlives its request.
type Operation struct {
	ID       string
	Resource string // the resource's id
	Location string
	Doing    string // creating, updating or deleting
	Status   string // InProgress, Succeeded or Failed
	Start    time.Time
	Takes    time.Duration `json:",omitzero"` // not done before Start and this
	End      *time.Time
	Error    *Error

	// Resumed is set of one that the last run has left.
	Resumed bool `json:"-"`
}

const (
	operations = "operations"
	inProgress = "InProgress"
)

// Encode writes what came out of JSON as JSON again.
func Encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // of what did not come out of JSON
	}
	return data
}

// Start answers a request by an operation on a resource, which begins once the request's transaction is kept.
func (c *Call) Start(answer Reply, res Object, doing string) (Reply, error) {
	op := Operation{
		ID: uuid.NewString(), Resource: Text(res, "id"), Location: Text(res, "location"), Doing: doing,
		Status: inProgress, Start: time.Now().UTC(), Takes: c.Times.Of(Parse(http.MethodGet, Text(res, "id")).Kind, doing),
	}
	answer.operation = &op
	return answer, store.Put(c.Tx, operations, op.ID, op)
}

// Rerun does the work of an update of a resource again, without a trace in its state.
func (s *Service) Rerun(id string) {
	s.run(Operation{ID: uuid.NewString(), Resource: id, Doing: Updating, Status: inProgress, Start: time.Now().UTC()})
}

// work is what an operation's type does for it.
func (s *Service) work(op Operation) error {
	kind := s.TypeOf(op.Resource)
	switch {
	case kind == nil:
	case op.Doing == Deleting && kind.Remove != nil:
		return kind.Remove(s.background, s, op)
	case op.Doing != Deleting && kind.Finish != nil:
		return kind.Finish(s.background, s, op)
	}
	return nil
}

// run does the work of an operation in the background and writes down how it ended. Interrupted by Close it stays in
// progress, and the next run takes it up again.
func (s *Service) run(op Operation) {
	s.running.Go(func() {
		takeTime := func() { Wait(s.background, time.Until(op.Start.Add(op.Takes))) }
		if op.Doing == Deleting { // it is there to the end
			takeTime()
		}
		err := s.work(op)
		takeTime()
		if s.background.Err() != nil {
			return
		}
		now := time.Now().UTC()
		op.Status, op.End = Succeeded, &now
		if err != nil {
			op.Status, op.Error = Failed, AsError(err)
		}
		_ = s.Store.Update(func(tx *store.Tx) error { // fails only with the store itself, which every request then tells
			if err := store.Put(tx, operations, op.ID, op); err != nil {
				return err
			}
			res, ok, err := Load(tx, op.Resource)
			if err != nil || !ok {
				return err
			}
			switch {
			case op.Doing == Deleting && op.Error == nil: // somebody has made it anew
				return nil
			case op.Doing == Deleting || ProvisioningState(res) != Deleting: // else it is being deleted, which goes on
				SetState(res, op.Status)
				if err := Save(tx, res); err != nil {
					return err
				}
			}
			if kind := s.TypeOf(op.Resource); kind != nil && kind.Ended != nil {
				return kind.Ended(tx, res)
			}
			return nil
		})
	})
}

// resume takes up what the last run left.
func (s *Service) resume() error {
	return s.Store.Update(func(tx *store.Tx) error {
		all, err := store.List[Operation](tx, operations, "")
		if err != nil {
			return err
		}
		interrupted := map[string]bool{}
		for _, op := range all {
			if op.Status != inProgress {
				continue
			}
			interrupted[fold.Lower(op.Resource)] = true
			op.Resumed = true
			s.run(op)
		}
		underWay := func(id string) bool { return interrupted[fold.Lower(id)] }
		for _, provider := range s.providers {
			if provider.Resume == nil {
				continue
			}
			if err := provider.Resume(s, tx, underWay); err != nil {
				return err
			}
		}
		return nil
	})
}

// RemoveAll removes what takes its time of what is below a path, one after another.
func (s *Service) RemoveAll(ctx context.Context, path string) error {
	for i := range s.types {
		kind := &s.types[i]
		if kind.Remove == nil || kind.Place != InGroup || kind.nested() {
			continue
		}
		var found []Object
		if err := s.Store.View(func(tx *store.Tx) (err error) {
			found, err = Under(tx, path, kind.Name)
			return err
		}); err != nil {
			return err
		}
		for _, res := range found {
			if err := kind.Remove(ctx, s, Operation{Resource: Text(res, "id"), Doing: Deleting}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove deletes a resource as an operation of its own would, such as one that another one has made.
func (s *Service) Remove(ctx context.Context, id string) error {
	if kind := s.TypeOf(id); kind != nil && kind.Remove != nil {
		return kind.Remove(ctx, s, Operation{Resource: id, Doing: Deleting})
	}
	return s.RemoveStored(ctx, Operation{Resource: id})
}

// RemoveStored deletes the resource of an operation, which needs no time for it.
func (s *Service) RemoveStored(_ context.Context, op Operation) error {
	return s.Store.Update(func(tx *store.Tx) error {
		res, ok, err := Load(tx, op.Resource)
		if err != nil || !ok {
			return err
		}
		return s.Destroy(tx, res)
	})
}

// PutAs puts a resource on behalf of somebody. It returns the operation that goes on with it, or nil.
func (s *Service) PutAs(
	ctx context.Context,
	by entra.Principal,
	path, version string,
	body Object,
) (*Operation, error) {
	at := (&url.URL{Path: path, RawQuery: url.Values{"api-version": {version}}.Encode()}).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, at, bytes.NewReader(Encode(body)))
	if err != nil {
		return nil, fmt.Errorf("putting %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := s.handleAs(by, httptest.NewRecorder(), req)
	return answer.operation, err
}

// WaitFor returns when an operation has ended, with its error, or when ctx ends.
func (s *Service) WaitFor(ctx context.Context, id string) error {
	for {
		var op Operation
		if err := s.Store.View(func(tx *store.Tx) (err error) {
			op, _, err = findOperation(tx, id)
			return err
		}); err != nil {
			return err
		}
		switch {
		case op.Error != nil:
			return op.Error
		case op.Status != inProgress:
			return nil
		}
		Wait(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// findOperation returns an operation by its id.
func findOperation(tx *store.Tx, id string) (Operation, bool, error) {
	return store.Get[Operation](tx, operations, id)
}

// Polling is the header that tells a client where to ask, and how soon: 100 ms for those who can read it.
func Polling(name, url string) http.Header {
	h := http.Header{}
	h.Set(name, url)
	h.Set("Retry-After", "1")
	h.Set("Retry-After-Ms", "100")
	return h
}

// askedOperation is the one that the path names.
func (c *Call) askedOperation() (Operation, error) {
	op, ok, err := findOperation(c.Tx, c.Name())
	if err == nil && !ok {
		err = Refuse(http.StatusNotFound, "NotFound", "The operation '%s' was not found.", c.Name())
	}
	return op, err
}

// GetOperation answers for Azure-AsyncOperation.
func (c *Call) GetOperation() (Reply, error) {
	op, err := c.askedOperation()
	if err != nil {
		return Reply{}, err
	}
	body := Object{"id": c.Path, "name": op.ID, "status": op.Status, "startTime": op.Start}
	if op.End != nil {
		body["endTime"] = *op.End
	}
	if op.Error != nil {
		body["error"] = op.Error
	}
	answer := Reply{Body: body}
	if op.Status == inProgress {
		answer.header = Polling("Azure-AsyncOperation", "https://"+Host+c.Path+"?"+c.Query.Encode())
	}
	return answer, nil
}

// GetOperationResult answers for Location: 202 as long as it takes.
func (c *Call) GetOperationResult() (Reply, error) {
	op, err := c.askedOperation()
	switch {
	case err != nil:
		return Reply{}, err
	case op.Status == inProgress:
		header := Polling("Location", "https://"+Host+c.Path+"?"+c.Query.Encode())
		return Reply{Status: http.StatusAccepted, header: header}, nil
	case op.Error != nil:
		return Reply{}, Refuse(http.StatusConflict, op.Error.Code, "%s", op.Error.Message)
	}
	return Reply{}, nil
}

// Settle returns when no operation is under way, or ctx ends.
func (s *Service) Settle(ctx context.Context) error {
	settled := make(chan struct{})
	go func() {
		s.running.Wait()
		close(settled)
	}()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
