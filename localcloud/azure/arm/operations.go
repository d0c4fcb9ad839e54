package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// operationRecord is an operation that outlives its request.
type operationRecord struct {
	ID       string
	Resource string // the resource's id
	Location string
	Doing    string // creating, updating or deleting
	Status   string // InProgress, Succeeded or Failed
	Start    time.Time
	Takes    time.Duration `json:",omitzero"` // not done before Start and this
	End      *time.Time
	Error    *Error
}

const (
	operations = "operations"
	inProgress = "InProgress"
)

func encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // only of what came out of JSON
	}
	return data
}

func (s *Service) startOperation(tx *store.Tx, res object, doing string) (operationRecord, error) {
	op := operationRecord{
		ID: uuid.NewString(), Resource: text(res, "id"), Location: text(res, "location"), Doing: doing, Status: inProgress,
		Start: time.Now().UTC(), Takes: s.Times.of(parse(http.MethodGet, text(res, "id")).kind, doing),
	}
	return op, store.Put(tx, operations, op.ID, op)
}

// run does the work of an operation in the background and writes down how it ended. Interrupted by Close it stays in
// progress, and the next run takes it up again.
func (s *Service) run(op operationRecord, work func(ctx context.Context, id string) error) {
	s.running.Go(func() {
		takeTime := func() { wait(s.background, time.Until(op.Start.Add(op.Takes))) }
		if op.Doing == deleting { // it is there to the end
			takeTime()
		}
		err := work(s.background, op.Resource)
		takeTime()
		if s.background.Err() != nil {
			return
		}
		now := time.Now().UTC()
		op.Status, op.End = succeeded, &now
		if err != nil {
			op.Status, op.Error = failed, asError(err)
		}
		_ = s.Store.Update(func(tx *store.Tx) error { // fails only with the store itself, which every request then tells
			if err := store.Put(tx, operations, op.ID, op); err != nil {
				return err
			}
			res, ok, err := load(tx, op.Resource)
			if err != nil || !ok {
				return err
			}
			setState(res, op.Status)
			if err := save(tx, res); err != nil || text(res, "type") != poolsType {
				return err
			}
			return mirrorPools(tx, cut(op.Resource, 2))
		})
	})
}

// resume takes up what the last run left.
func (s *Service) resume() error {
	return s.Store.Update(func(tx *store.Tx) error {
		all, err := store.List[operationRecord](tx, operations, "")
		if err != nil {
			return err
		}
		interrupted := map[string]bool{}
		for _, op := range all {
			if op.Status != inProgress {
				continue
			}
			interrupted[strings.ToLower(op.Resource)] = true
			s.run(op, s.workOf(op))
		}
		clusters, err := under(tx, "/subscriptions", clustersType)
		if err != nil {
			return err
		}
		for _, cluster := range clusters {
			if err := adoptPools(tx, cluster); err != nil {
				return err
			}
			if err := s.adoptNodeGroup(tx, cluster); err != nil {
				return err
			}
			if interrupted[strings.ToLower(text(cluster, "id"))] {
				continue
			}
			// A cluster that ran is started again without a trace in its state; one that Failed is given another try, as what
			// kept it from starting may have been the machine.
			op := operationRecord{
				ID: uuid.NewString(), Resource: text(cluster, "id"), Doing: updating, Status: inProgress, Start: time.Now().UTC(),
			}
			s.run(op, s.startCluster)
		}
		return nil
	})
}

func (s *Service) workOf(op operationRecord) func(context.Context, string) error {
	kind := parse(http.MethodGet, op.Resource).kind
	switch {
	case kind == poolsType && op.Doing == deleting:
		return s.removePool
	case kind == poolsType:
		return s.settlePool
	case kind == vaultsType:
		return registerVault
	case kind == eventSubscriptionsType:
		return s.validateSubscription
	case kind == deploymentsType && op.Doing == deleting:
		return s.forgetDeployment
	case kind == deploymentsType:
		return s.deployAgain
	case op.Doing != deleting:
		return s.startCluster
	case kind == clustersType:
		return s.removeCluster
	}
	return s.removeGroup
}

// polling is the header that tells a client where to ask, and how soon: 100 ms for those who can read it.
func polling(name, url string) http.Header {
	h := http.Header{}
	h.Set(name, url)
	h.Set("Retry-After", "1")
	h.Set("Retry-After-Ms", "100")
	return h
}

func (c *call) findOperation() (operationRecord, error) {
	op, ok, err := store.Get[operationRecord](c.tx, operations, c.name())
	if err == nil && !ok {
		err = refuse(http.StatusNotFound, "NotFound", "The operation '%s' was not found.", c.name())
	}
	return op, err
}

// getOperation answers for Azure-AsyncOperation.
func (c *call) getOperation() (reply, error) {
	op, err := c.findOperation()
	if err != nil {
		return reply{}, err
	}
	body := object{"id": c.path, "name": op.ID, "status": op.Status, "startTime": op.Start}
	if op.End != nil {
		body["endTime"] = *op.End
	}
	if op.Error != nil {
		body["error"] = op.Error
	}
	answer := reply{body: body}
	if op.Status == inProgress {
		answer.header = polling("Azure-AsyncOperation", c.operationURL(op))
	}
	return answer, nil
}

func (s *Service) operationURL(op operationRecord) string {
	return "https://" + Host + "/subscriptions/" + s.SubscriptionID + "/providers/Microsoft.ContainerService/locations/" + op.Location +
		"/operations/" + op.ID + "?api-version=2024-09-01"
}

// getOperationResult answers for Location: 202 as long as it takes.
func (c *call) getOperationResult() (reply, error) {
	op, err := c.findOperation()
	switch {
	case err != nil:
		return reply{}, err
	case op.Status == inProgress:
		return reply{status: http.StatusAccepted, header: polling("Location", c.groupResultURL(op))}, nil
	case op.Error != nil:
		return reply{}, refuse(http.StatusConflict, op.Error.Code, "%s", op.Error.Message)
	}
	return reply{}, nil
}
