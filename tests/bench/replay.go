package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
)

// request makes one resource of the stack, as the program did.
type request struct {
	name   string   // the resource's in the program
	module string   // the component that it is a part of; empty: none
	needs  []string // the requests whose answers are in it
	kind   string   // the last word of the resource's type

	id, body          string // Azure: what Resource Manager was sent, and where
	version           string
	manifest          string // Kubernetes
	namespace, object string // of a pod, which is waited for
}

// state is what the engine keeps of a stack.
type state struct {
	Deployment struct{ Resources []stateResource }
}

type stateResource struct {
	URN, Type, ID, Parent, Provider string
	Dependencies                    []string
	Inputs, Outputs                 map[string]any
}

func (r stateResource) name() string { return r.URN[strings.LastIndex(r.URN, "::")+2:] }
func (r stateResource) kind() string { return r.Type[strings.LastIndex(r.Type, ":")+1:] }

// waits are the URNs of the resources that r was created after: those whose outputs it has, and its provider.
func (r stateResource) waits() []string {
	urns := slices.Clone(r.Dependencies)
	if i := strings.LastIndex(r.Provider, "::"); i > 0 {
		urns = append(urns, r.Provider[:i])
	}
	return urns
}

// requestsOf are those that made a stack, in an order in which they can be sent: from the engine's state, and from the
// folder that `localcloud up --record` filled.
func requestsOf(s state, record string) ([]request, error) {
	sent, err := recorded(record)
	if err != nil {
		return nil, err
	}
	byURN := map[string]stateResource{}
	var requests []request
	for _, r := range s.Deployment.Resources {
		byURN[r.URN] = r
		made := request{name: r.name(), kind: r.kind(), needs: needs(r, byURN)}
		if parent, ok := byURN[r.Parent]; ok && !strings.HasPrefix(parent.Type, "pulumi:") {
			made.module = parent.name()
		}
		switch {
		case strings.HasPrefix(r.Type, "azure-native"):
			body, ok := sent[strings.ToLower(r.ID)]
			if !ok {
				return nil, fmt.Errorf("nothing is recorded of %s", r.ID)
			}
			made.id, made.version, made.body = r.ID, body.APIVersion, string(body.Body)
		case strings.HasPrefix(r.Type, "kubernetes:"):
			manifest, err := json.Marshal(r.Inputs)
			if err != nil {
				return nil, err
			}
			made.manifest = string(manifest)
			if made.kind == "Pod" {
				made.namespace, made.object, _ = strings.Cut(r.ID, "/")
			}
		default: // made by the engine alone
			continue
		}
		requests = append(requests, made)
	}
	return requests, nil
}

type sent struct {
	Path, APIVersion string
	Body             json.RawMessage
}

// recorded is what Resource Manager was sent, by the resource's id in lower case.
func recorded(dir string) (map[string]sent, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	all := map[string]sent{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var one sent
		if err := json.Unmarshal(content, &one); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		all[strings.ToLower(one.Path)] = one
	}
	return all, nil
}

// needs are the resources that r waits for, seen through those for which nothing is sent, such as the Kubernetes
// provider.
func needs(r stateResource, byURN map[string]stateResource) []string {
	var found []string
	for _, urn := range r.waits() {
		of := byURN[urn]
		if strings.HasPrefix(of.Type, "azure-native") || strings.HasPrefix(of.Type, "kubernetes:") {
			found = append(found, of.name())
			continue
		}
		found = append(found, needs(of, byURN)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// An order says which requests have to be done before one is sent.
type order func(requests []request, i int) []string

// asNeeded sends each request as soon as its own needs are there: what an engine without any cost of its own would do.
func asNeeded(requests []request, i int) []string { return requests[i].needs }

// inTurn sends one after another, as somebody who follows the guide.
func inTurn(requests []request, i int) []string {
	if i == 0 {
		return nil
	}
	return []string{requests[i-1].name}
}

// byModule sends a request when what it needs of its own module is there, and the whole of every other module that any
// request of its module needs something of: as Terraform, where modules depend on modules.
func byModule(requests []request, i int) []string {
	own := requests[i].module
	byName := map[string]request{}
	for _, r := range requests {
		byName[r.name] = r
	}
	waits := slices.Clone(requests[i].needs)
	for _, sibling := range requests {
		if own == "" || sibling.module != own {
			continue
		}
		for _, need := range sibling.needs {
			of := byName[need].module
			if of == own {
				continue
			}
			waits = append(waits, need)
			for _, r := range requests {
				if of != "" && r.module == of {
					waits = append(waits, r.name)
				}
			}
		}
	}
	slices.Sort(waits)
	return slices.Compact(waits)
}

// span is when a resource was begun and when it was there.
type span struct{ begin, end time.Time }

// send sends all requests in an order. The first that fails ends it.
func send(
	ctx context.Context, requests []request, in order, do func(context.Context, request) error,
) (map[string]span, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	done := map[string]chan struct{}{}
	for _, r := range requests {
		done[r.name] = make(chan struct{})
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	spans := map[string]span{}
	for i, r := range requests {
		all.Go(func() {
			for _, name := range in(requests, i) {
				select {
				case <-done[name]:
				case <-ctx.Done():
					return
				}
			}
			s := span{begin: time.Now()}
			if err := do(ctx, r); err != nil {
				fail(fmt.Errorf("%s: %w", r.name, err))
				return
			}
			s.end = time.Now()
			mu.Lock()
			spans[r.name] = s
			mu.Unlock()
			close(done[r.name])
		})
	}
	all.Wait()
	return spans, context.Cause(ctx)
}

// replay sends the requests of a stack that was destroyed to its cloud once more. What Azure chose, such as the issuer,
// is another now.
type replay struct {
	cloud      cloud
	azure      *armresources.Client
	groups     *armresources.ResourceGroupsClient
	clusters   *armcontainerservice.ManagedClustersClient
	env        []string
	kubeconfig string

	mu  sync.Mutex
	was map[string]string // values of the stack, and what they are now
	of  map[string]map[string]any
}

// newReplay is one of the stack with this state. The vault's name, which is taken for as long as a deleted vault can be
// recovered, gets another ending.
func newReplay(ctx context.Context, c cloud, s state, ending string) (*replay, error) {
	owner, options, subscription, err := c.azure()
	if err != nil {
		return nil, err
	}
	r := &replay{
		cloud:      c,
		kubeconfig: filepath.Join(c.home, "replay.kubeconfig"),
		was:        map[string]string{},
		of:         map[string]map[string]any{},
	}
	armOptions := &arm.ClientOptions{ClientOptions: options}
	var errs [3]error
	r.azure, errs[0] = armresources.NewClient(subscription, owner, armOptions)
	r.groups, errs[1] = armresources.NewResourceGroupsClient(subscription, owner, armOptions)
	r.clusters, errs[2] = armcontainerservice.NewManagedClustersClient(subscription, owner, armOptions)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if r.env, err = c.localcloud().Environ(ctx); err != nil {
		return nil, err
	}
	for _, resource := range s.Deployment.Resources {
		r.of[resource.name()] = resource.Outputs
		if name, ok := resource.Outputs["name"].(string); ok && resource.kind() == "Vault" {
			r.was[name] = name + ending
		}
	}
	return r, nil
}

// now is a text of the stack with the values of this time.
func (r *replay) now(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for was, is := range r.was {
		text = strings.ReplaceAll(text, was, is)
	}
	return text
}

// learn notes what a value of the stack is this time.
func (r *replay) learn(was, is any) error {
	before, ok := was.(string)
	after, also := is.(string)
	if !ok || !also || before == "" || after == "" {
		return errors.New("the answer lacks what other requests need")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.was[before] = after
	return nil
}

// do sends one request and returns when the resource is there.
func (r *replay) do(ctx context.Context, one request) error {
	if one.manifest != "" {
		if err := r.kubectl(ctx, r.now(one.manifest), "apply", "--filename=-"); err != nil || one.object == "" {
			return err
		}
		return r.kubectl(ctx, "", "wait", "--for=condition=Ready", "--timeout=5m", "--namespace", one.namespace,
			"pod/"+one.object)
	}
	var body armresources.GenericResource
	if err := json.Unmarshal([]byte(r.now(one.body)), &body); err != nil {
		return err
	}
	poller, err := r.azure.BeginCreateOrUpdateByID(ctx, strings.TrimPrefix(r.now(one.id), "/"), one.version, body, nil)
	if err != nil {
		return err
	}
	answer, err := finished(ctx, poller)
	if err != nil {
		return err
	}
	before, properties := r.of[one.name], map[string]any{}
	if given, ok := answer.Properties.(map[string]any); ok {
		properties = given
	}
	switch one.kind {
	case "UserAssignedIdentity":
		return errors.Join(r.learn(before["principalId"], properties["principalId"]),
			r.learn(before["clientId"], properties["clientId"]))
	case "ManagedCluster":
		was, _ := before["oidcIssuerProfile"].(map[string]any)
		is, _ := properties["oidcIssuerProfile"].(map[string]any)
		return errors.Join(r.learn(was["issuerURL"], is["issuerURL"]), r.getCredentials(ctx, one.id))
	}
	return nil
}

// getCredentials is the guide's az aks get-credentials.
func (r *replay) getCredentials(ctx context.Context, cluster string) error {
	id, err := arm.ParseResourceID(cluster)
	if err != nil {
		return err
	}
	answer, err := r.clusters.ListClusterUserCredentials(ctx, id.ResourceGroupName, id.Name, nil)
	if err != nil {
		return err
	}
	if len(answer.Kubeconfigs) == 0 {
		return errors.New("there is no kubeconfig")
	}
	return os.WriteFile(r.kubeconfig, answer.Kubeconfigs[0].Value, 0o600)
}

func (r *replay) kubectl(ctx context.Context, stdin string, args ...string) error {
	cmd := r.cloud.program(ctx, r.env, "kubectl", append([]string{"--kubeconfig", r.kubeconfig}, args...)...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", args[0], err, said.Bytes())
	}
	return nil
}

// delete deletes the resource group that the requests made.
func (r *replay) delete(ctx context.Context, requests []request) error {
	for _, one := range requests {
		if one.kind != "ResourceGroup" {
			continue
		}
		poller, err := r.groups.BeginDelete(ctx, one.id[strings.LastIndexByte(one.id, '/')+1:], nil)
		if err != nil {
			return err
		}
		if _, err := finished(ctx, poller); err != nil {
			return err
		}
	}
	return nil
}

// finished asks ten times a second, as the stand-in for azure-native does where the local cloud lets it.
func finished[T any](ctx context.Context, poller *runtime.Poller[T]) (T, error) {
	for !poller.Done() {
		select {
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := poller.Poll(ctx); err != nil {
			var none T
			return none, err
		}
	}
	return poller.Result(ctx)
}
