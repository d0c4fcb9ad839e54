package resourcemanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Operation is an asynchronous operation, which outlives its request.
type Operation struct {
	ID       string
	Resource string // the id of the resource
	Location string
	Doing    string // Creating, Updating or Deleting
	Status   string // InProgress, Succeeded or Failed
	Start    time.Time
	Takes    time.Duration `json:",omitzero"` // the least duration
	End      *time.Time
	Error    *Error

	// Resumed is set if a previous run started the operation.
	Resumed bool `json:"-"`
}

const (
	operations = "operations"
	inProgress = "InProgress"
)

// Encode encodes a value that was decoded from JSON. It panics for values that JSON does not have.
func Encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// Start adds an operation on a resource to the answer of a request. The operation starts after the commit of the
// request's transaction.
func (c *Call) Start(answer Reply, res Object, doing string) (Reply, error) {
	id := Text(res, "id")
	op := Operation{
		ID:       uuid.NewString(),
		Resource: id,
		Location: Text(res, "location"),
		Doing:    doing,
		Status:   inProgress,
		Start:    time.Now().UTC(),
		Takes:    c.Times.Of(Parse(http.MethodGet, id).Kind, doing),
	}
	answer.operation = &op
	return answer, store.Put(c.Tx, operations, op.ID, op)
}

// Rerun repeats the work of an update of a resource. The state of the resource does not show it.
func (s *Service) Rerun(id string) {
	s.run(Operation{ID: uuid.NewString(), Resource: id, Doing: Updating, Status: inProgress, Start: time.Now().UTC()})
}

// work does the work of an operation, as its type defines it.
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

// run does the work of an operation in the background and saves the result. An operation that Close interrupts stays in
// progress, and the next run resumes it.
func (s *Service) run(op Operation) {
	s.running.Go(func() {
		takeTime := func() { Wait(s.background, time.Until(op.Start.Add(op.Takes))) }
		if op.Doing == Deleting { // the resource exists until the end
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
		_ = s.Store.Update(func(tx *store.Tx) error { // if the store fails, every request fails too
			if err := store.Put(tx, operations, op.ID, op); err != nil {
				return err
			}
			res, ok, err := Load(tx, op.Resource)
			if err != nil || !ok {
				return err
			}
			switch {
			case op.Doing == Deleting && op.Error == nil: // the resource was created again
				return nil
			case op.Doing == Deleting || ProvisioningState(res) != Deleting: // a deletion keeps its state
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

// resume restarts the operations that the last run left, and calls Provider.Resume.
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

// RemoveAll removes the resources below a path whose types have Remove, one after another.
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

// Remove deletes a resource, such as one that belongs to another resource, as its own operation would.
func (s *Service) Remove(ctx context.Context, id string) error {
	if kind := s.TypeOf(id); kind != nil && kind.Remove != nil {
		return kind.Remove(ctx, s, Operation{Resource: id, Doing: Deleting})
	}
	return s.RemoveStored(ctx, Operation{Resource: id})
}

// RemoveStored deletes the resource of an operation from the store.
func (s *Service) RemoveStored(_ context.Context, op Operation) error {
	return s.Store.Update(func(tx *store.Tx) error {
		res, ok, err := Load(tx, op.Resource)
		if err != nil || !ok {
			return err
		}
		return s.Destroy(tx, res)
	})
}

// PutAs sends a PUT on behalf of a principal. It returns the operation that the PUT started, or nil.
func (s *Service) PutAs(
	ctx context.Context, by entra.Principal, path, version string, body Object,
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

// WaitFor waits until an operation has ended, and returns its error. It returns early when ctx ends.
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

// UnderWay lists the operations that have not ended.
func UnderWay(tx *store.Tx) ([]Operation, error) {
	all, err := store.List[Operation](tx, operations, "")
	return slices.DeleteFunc(all, func(op Operation) bool { return op.Status != inProgress }), err
}

// findOperation returns the operation with an id, and whether it exists.
func findOperation(tx *store.Tx, id string) (Operation, bool, error) {
	return store.Get[Operation](tx, operations, id)
}

// Polling returns the headers that tell a client which URL to poll, and when: after 100 ms if the client understands
// Retry-After-Ms, after a second otherwise.
func Polling(name, url string) http.Header {
	h := http.Header{}
	h.Set(name, url)
	h.Set("Retry-After", "1")
	h.Set("Retry-After-Ms", "100")
	return h
}

// askedOperation returns the operation that the path names.
func (c *Call) askedOperation() (Operation, error) {
	op, ok, err := findOperation(c.Tx, c.Name())
	if err == nil && !ok {
		err = Refuse(http.StatusNotFound, "NotFound", "The operation '%s' was not found.", c.Name())
	}
	return op, err
}

// GetOperation answers polls of the URL in the header Azure-AsyncOperation.
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

// GetOperationResult answers polls of the URL in the header Location: with 202 until the operation has ended.
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

// Settle waits until no operation is under way. It returns the error of ctx if that ends first.
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
