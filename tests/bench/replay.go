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

// request creates one resource of the stack, as the program did.
type request struct {
	name   string   // name of the resource in the program
	module string   // component that the resource belongs to; may be empty
	needs  []string // requests whose responses it contains
	kind   string   // last part of the resource's type

	id, body          string // in Azure: the request to Resource Manager
	version           string
	manifest          string // in Kubernetes
	namespace, object string // of a pod to wait for
}

// state is an exported stack.
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

// waits returns the URNs of the resources that r waited for: its dependencies and its provider.
func (r stateResource) waits() []string {
	urns := slices.Clone(r.Dependencies)
	if i := strings.LastIndex(r.Provider, "::"); i > 0 {
		urns = append(urns, r.Provider[:i])
	}
	return urns
}

// requestsOf returns the requests that created a stack, in an order in which they can be sent. It reads them from the
// engine's state and the folder that `localcloud up --record` filled.
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
				return nil, fmt.Errorf("no request is recorded for %s", r.ID)
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
		default: // no request
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

// recorded returns the requests to Resource Manager by the resource's id in lower case.
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

// needs returns the resources that r waits for. It looks through resources without a request, such as the Kubernetes
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

// An order returns the requests that must be done before one is sent.
type order func(requests []request, i int) []string

// asNeeded sends each request as soon as its needs are met, like an engine without costs.
func asNeeded(requests []request, i int) []string { return requests[i].needs }

// inTurn sends one request after another, like somebody who follows the guide.
func inTurn(requests []request, i int) []string {
	if i == 0 {
		return nil
	}
	return []string{requests[i-1].name}
}

// byModule sends a request when its needs in its own module are met, and when every other module that its module needs
// is complete, as Terraform does where modules depend on modules.
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

// span is when a resource's creation began and ended.
type span struct{ begin, end time.Time }

// send sends all requests in an order. It ends at the first error.
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

// replay sends the requests of a destroyed stack to its cloud again. Values that Azure chooses, such as the issuer, are
// new.
type replay struct {
	cloud      cloud
	azure      *armresources.Client
	groups     *armresources.ResourceGroupsClient
	clusters   *armcontainerservice.ManagedClustersClient
	env        []string
	kubeconfig string

	mu  sync.Mutex
	was map[string]string         // from the stack's values to the new ones
	of  map[string]map[string]any // outputs of the stack's resources
}

// newReplay returns a replay of the stack with this state. It appends ending to the vault's name, because the deleted
// vault keeps its name.
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

// now returns a text of the stack with the new values.
func (r *replay) now(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for was, is := range r.was {
		text = strings.ReplaceAll(text, was, is)
	}
	return text
}

// learn records the new value of a value of the stack.
func (r *replay) learn(was, is any) error {
	before, ok := was.(string)
	after, also := is.(string)
	if !ok || !also || before == "" || after == "" {
		return errors.New("the response lacks a value that other requests need")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.was[before] = after
	return nil
}

// do sends a request and waits until the resource is created.
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

// getCredentials does the guide's az aks get-credentials.
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
		return errors.New("no kubeconfig in the response")
	}
	return os.WriteFile(r.kubeconfig, answer.Kubeconfigs[0].Value, 0o600)
}

func (r *replay) kubectl(ctx context.Context, stdin string, args ...string) error {
	cmd := r.cloud.program(ctx, r.env, "kubectl", append([]string{"--kubeconfig", r.kubeconfig}, args...)...)
	var printed bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &printed, &printed
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", args[0], err, printed.Bytes())
	}
	return nil
}

// delete deletes the resource group that the requests created.
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

// finished polls ten times a second, as the stand-in for azure-native does.
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
