// Package mockengine runs a Pulumi program in unit tests against an engine that only records which resources are
// registered, with which inputs and in which order. Azure, random and Kubernetes answer with only the outputs that the
// program reads.
//
// pulumi.WithMocks is the usual way, but it does not support unknown secrets, which every preview has.
package mockengine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/internals"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Project and Stack are the default project and stack of the program.
const (
	Project = "keyvault-aks"
	Stack   = "test"
)

const stackType = "pulumi:pulumi:Stack"

// Registered is a resource as the program registered it.
type Registered struct {
	Type, Name, URN string
	// Inputs keep secrets and unknown values.
	Inputs resource.PropertyMap
	RPC    *pulumirpc.RegisterResourceRequest
	// Outputs are the outputs that a component, or the stack, registered.
	Outputs resource.PropertyMap
}

// Invoked is a call of a provider's function.
type Invoked struct {
	Token string
	Args  resource.PropertyMap
}

// Engine replaces the engine. The zero value runs an update. With DryRun it runs the preview of a first update, in
// which no resource has an id or an output yet.
type Engine struct {
	DryRun bool
	// Project is the project of the program. Defaults to [Project].
	Project string
	// Config and SecretKeys are the stack's configuration, with namespaced keys.
	Config     map[string]string
	SecretKeys []string
	// Answers replace the results of providers' functions, by token. A nil answer makes the function fail.
	Answers map[string]map[string]any
	// Asked, if any, is called before a provider's function is answered. If it returns an error, that is the answer.
	Asked func(token string, args resource.PropertyMap) error
	// Before is an earlier run, if any. Inputs with ignored changes keep the values of that run.
	Before *Engine
	// Hold, if any, is called before a registration is answered, with the resource's name.
	Hold func(name string)
	// Refusals are errors that make the creation of resources fail, by name, one for each attempt. The resource's error
	// hooks decide whether it is retried.
	Refusals map[string][]string
	// Unread are the names of resources that azure-native created but could not read: their outputs lack all of Azure's
	// properties.
	Unread []string

	mu        sync.Mutex
	resources []*Registered
	hooks     map[string]*pulumirpc.Callback
	packages  []*pulumirpc.RegisterPackageRequest
	inherited map[string][]*pulumirpc.Callback // the transforms of parts, by the URN of what they are parts of
	invoked   []Invoked
	warnings  []Warning
	infos     []string
	errors    []string
}

// Warning is a warning that a program logged, with the resource.
type Warning struct {
	URN, Message string
}

// Run runs a program and returns once all registrations are done.
func (e *Engine) Run(program func(*pulumi.Context) error) error {
	return e.Serve(func(address string) error {
		return pulumi.RunErr(program, func(info *pulumi.RunInfo) {
			info.Project, info.Stack, info.DryRun = cmp.Or(e.Project, Project), Stack, e.DryRun
			info.Config, info.ConfigSecretKeys = e.Config, e.SecretKeys
			info.MonitorAddr, info.EngineAddr = address, address
		})
	})
}

// Serve serves the engine while run, which gets its address, runs something other than a program.
func (e *Engine) Serve(run func(address string) error) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := grpc.NewServer()
	pulumirpc.RegisterResourceMonitorServer(server, &monitor{engine: e})
	pulumirpc.RegisterEngineServer(server, &logger{engine: e})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = run(listener.Addr().String())
	server.Stop()
	if serveErr := <-served; serveErr != nil {
		return fmt.Errorf("serving: %w", serveErr)
	}
	return err
}

// Resources returns all resources except the stack, in the order of registration.
func (e *Engine) Resources() []Registered {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Registered
	for _, one := range e.resources {
		if one.Type != stackType {
			list = append(list, *one)
		}
	}
	return list
}

// Packages returns the packages that the program registered.
func (e *Engine) Packages() []*pulumirpc.RegisterPackageRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.packages)
}

// Warnings returns the program's warnings.
func (e *Engine) Warnings() []Warning {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.warnings)
}

// Infos returns the program's informational messages.
func (e *Engine) Infos() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.infos)
}

// Errors returns the program's error messages.
func (e *Engine) Errors() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.errors)
}

// Get returns the resource with this name.
func (e *Engine) Get(t testing.TB, name string) Registered {
	t.Helper()
	for _, one := range e.Resources() {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("no resource %q was registered", name)
	return Registered{}
}

// Invoked returns all calls of providers' functions, in order.
func (e *Engine) Invoked() []Invoked {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Invoked(nil), e.invoked...)
}

// StackOutputs returns the program's outputs.
func (e *Engine) StackOutputs() resource.PropertyMap {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.resources {
		if one.Type == stackType {
			return one.Outputs
		}
	}
	return nil
}

// Plaintext returns where a text occurs outside a Pulumi secret, in inputs and outputs.
func (e *Engine) Plaintext(text string) []string {
	found := plaintext("stack", resource.NewObjectProperty(e.StackOutputs()), text)
	for _, one := range e.Resources() {
		found = append(found, plaintext(one.Name, resource.NewObjectProperty(one.Inputs), text)...)
		found = append(found, plaintext(one.Name, resource.NewObjectProperty(one.Outputs), text)...)
	}
	return found
}

func plaintext(path string, v resource.PropertyValue, text string) []string {
	var found []string
	switch {
	case v.IsSecret():
	case v.IsString() && strings.Contains(v.StringValue(), text):
		found = append(found, path)
	case v.IsArray():
		for i, item := range v.ArrayValue() {
			found = append(found, plaintext(fmt.Sprintf("%s[%d]", path, i), item, text)...)
		}
	case v.IsObject():
		for key, item := range v.ObjectValue() {
			found = append(found, plaintext(path+"."+string(key), item, text)...)
		}
	}
	return found
}

// At returns the input at a path such as properties.sku.name, with its secret wrapping, or nil.
func (one Registered) At(path string) *resource.PropertyValue {
	parsed, err := resource.ParsePropertyPath(path)
	if err != nil {
		panic(err)
	}
	value, ok := parsed.Get(resource.NewObjectProperty(one.Inputs))
	if !ok {
		return nil
	}
	return &value
}

// WaitsFor reports whether the engine would create the resource after the other.
func (one Registered) WaitsFor(other Registered) bool {
	for _, urn := range one.RPC.GetDependencies() {
		if urn == other.URN {
			return true
		}
	}
	return false
}

// Await waits for an output in a program under test.
func Await(t testing.TB, ctx *pulumi.Context, o pulumi.Output) internals.UnsafeAwaitOutputResult {
	t.Helper()
	result, err := internals.UnsafeAwaitOutput(ctx.Context(), o)
	if err != nil {
		t.Errorf("awaiting an output: %v", err)
	}
	return result
}

type monitor struct {
	pulumirpc.UnimplementedResourceMonitorServer
	engine *Engine
}

func (m *monitor) GetDeploymentInfo(context.Context, *emptypb.Empty) (*pulumirpc.DeploymentInfo, error) {
	return &pulumirpc.DeploymentInfo{SupportedFeatures: []pulumirpc.ResourceMonitorFeature{
		pulumirpc.ResourceMonitorFeature_RESOURCE_MONITOR_FEATURE_SECRETS,
		pulumirpc.ResourceMonitorFeature_RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
		pulumirpc.ResourceMonitorFeature_RESOURCE_MONITOR_FEATURE_DELETED_WITH,
		pulumirpc.ResourceMonitorFeature_RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
		pulumirpc.ResourceMonitorFeature_RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
		pulumirpc.ResourceMonitorFeature_RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
		pulumirpc.ResourceMonitorFeature_RESOURCE_MONITOR_FEATURE_TRANSFORMS,
	}}, nil
}

// RegisterPackage returns the package's own name as its reference.
func (m *monitor) RegisterPackage(_ context.Context,
	in *pulumirpc.RegisterPackageRequest) (*pulumirpc.RegisterPackageResponse, error) {
	m.engine.mu.Lock()
	defer m.engine.mu.Unlock()
	m.engine.packages = append(m.engine.packages, in)
	return &pulumirpc.RegisterPackageResponse{Ref: in.GetParameterization().GetName()}, nil
}

func (m *monitor) RegisterErrorHook(_ context.Context, in *pulumirpc.RegisterErrorHookRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, m.registerHook(in.GetName(), in.GetCallback())
}

func (m *monitor) RegisterResourceHook(
	_ context.Context, in *pulumirpc.RegisterResourceHookRequest,
) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, m.registerHook(in.GetName(), in.GetCallback())
}

func (m *monitor) registerHook(name string, hook *pulumirpc.Callback) error {
	m.engine.mu.Lock()
	defer m.engine.mu.Unlock()
	if _, taken := m.engine.hooks[name]; taken {
		return fmt.Errorf("the hook %q is registered already", name)
	}
	if m.engine.hooks == nil {
		m.engine.hooks = map[string]*pulumirpc.Callback{}
	}
	m.engine.hooks[name] = hook
	return nil
}

// refuse fails the creation of a resource once for each of its refusals, unless its hooks give up earlier.
func (m *monitor) refuse(ctx context.Context, in *pulumirpc.RegisterResourceRequest, urn string) error {
	var errs []string
	for _, refusal := range m.engine.Refusals[in.GetName()] {
		errs = append([]string{refusal}, errs...)
		again, err := m.tryAgain(ctx, in.GetHooks().GetOnError(), &pulumirpc.ErrorHookRequest{
			Urn: urn, Name: in.GetName(), Type: in.GetType(), NewInputs: in.GetObject(), FailedOperation: "create", Errors: errs,
		})
		if err != nil {
			return err
		}
		if !again {
			return errors.New(refusal)
		}
	}
	return nil
}

func (m *monitor) tryAgain(
	ctx context.Context, hooks []string, failure *pulumirpc.ErrorHookRequest,
) (again bool, err error) {
	for _, name := range hooks {
		m.engine.mu.Lock()
		hook := m.engine.hooks[name]
		m.engine.mu.Unlock()
		var response pulumirpc.ErrorHookResponse
		if err := call(ctx, hook, failure, &response); err != nil {
			return false, fmt.Errorf("the hook %q: %w", name, err)
		}
		if response.GetError() != "" {
			return false, fmt.Errorf("the hook %q: %s", name, response.GetError())
		}
		again = again || response.GetRetry()
	}
	return again, nil
}

func (m *monitor) RegisterResource(
	ctx context.Context, in *pulumirpc.RegisterResourceRequest,
) (*pulumirpc.RegisterResourceResponse, error) {
	if err := m.transform(ctx, in); err != nil {
		return nil, err
	}
	inputs, err := unmarshal(in.GetObject())
	if err != nil {
		return nil, err
	}
	urn := urnOf(in)
	if err := m.ignoreChanges(urn, inputs, in.GetIgnoreChanges()); err != nil {
		return nil, err
	}
	m.engine.mu.Lock()
	m.engine.resources = append(m.engine.resources, &Registered{
		Type: in.GetType(), Name: in.GetName(), URN: urn, Inputs: inputs, RPC: in,
	})
	m.engine.mu.Unlock()
	if m.engine.Hold != nil {
		m.engine.Hold(in.GetName())
	}
	if err := m.refuse(ctx, in, urn); err != nil {
		return nil, err
	}
	if !in.GetCustom() || m.engine.DryRun {
		return &pulumirpc.RegisterResourceResponse{Urn: urn}, nil
	}
	id, outputs := create(in.GetType(), in.GetName(), inputs)
	if slices.Contains(m.engine.Unread, in.GetName()) {
		outputs = resource.PropertyMap{"name": outputs["name"], "properties": resource.NewProperty(outputs)}
	}
	object, err := marshal(outputs)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.RegisterResourceResponse{Urn: urn, Id: id, Object: object}, nil
}

func urnOf(in *pulumirpc.RegisterResourceRequest) string {
	var parentType tokens.Type
	if parent := resource.URN(in.GetParent()); parent != "" && parent.QualifiedType() != stackType {
		parentType = parent.QualifiedType()
	}
	return string(resource.NewURN(Stack, Project, parentType, tokens.Type(in.GetType()), in.GetName()))
}

// ignoreChanges resets inputs to those of the earlier run.
func (m *monitor) ignoreChanges(urn string, inputs resource.PropertyMap, paths []string) error {
	if m.engine.Before == nil {
		return nil
	}
	for _, old := range m.engine.Before.Resources() {
		if old.URN != urn {
			continue
		}
		for _, path := range paths {
			parsed, err := resource.ParsePropertyPath(path)
			if err != nil {
				return fmt.Errorf("ignoring changes of %q: %w", path, err)
			}
			if !parsed.Reset(old.Inputs, inputs) {
				return fmt.Errorf("cannot ignore changes of %s", path)
			}
		}
	}
	return nil
}

func (m *monitor) RegisterResourceOutputs(
	_ context.Context, in *pulumirpc.RegisterResourceOutputsRequest,
) (*emptypb.Empty, error) {
	outputs, err := unmarshal(in.GetOutputs())
	if err != nil {
		return nil, err
	}
	m.engine.mu.Lock()
	defer m.engine.mu.Unlock()
	for _, one := range m.engine.resources {
		if one.URN == in.GetUrn() {
			one.Outputs = outputs
		}
	}
	return &emptypb.Empty{}, nil
}

func (m *monitor) Invoke(
	_ context.Context, in *pulumirpc.ResourceInvokeRequest,
) (*pulumirpc.ResourceInvokeResponse, error) {
	args, err := unmarshal(in.GetArgs())
	if err != nil {
		return nil, err
	}
	m.engine.mu.Lock()
	m.engine.invoked = append(m.engine.invoked, Invoked{Token: in.GetTok(), Args: args})
	m.engine.mu.Unlock()
	if m.engine.Asked != nil {
		if err := m.engine.Asked(in.GetTok(), args); err != nil {
			return nil, err
		}
	}
	if answer, ok := m.engine.Answers[in.GetTok()]; ok {
		if answer == nil {
			return nil, fmt.Errorf("%s fails", in.GetTok())
		}
		object, err := marshal(resource.NewPropertyMapFromMap(answer))
		return &pulumirpc.ResourceInvokeResponse{Return: object}, err
	}
	result, err := invoke(in.GetTok(), args)
	if err != nil {
		return nil, err
	}
	object, err := marshal(result)
	return &pulumirpc.ResourceInvokeResponse{Return: object}, err
}

type logger struct {
	pulumirpc.UnimplementedEngineServer
	engine *Engine
}

func (l *logger) RequirePulumiVersion(
	context.Context, *pulumirpc.RequirePulumiVersionRequest,
) (*pulumirpc.RequirePulumiVersionResponse, error) {
	return &pulumirpc.RequirePulumiVersionResponse{}, nil
}

func (l *logger) Log(_ context.Context, in *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	switch in.GetSeverity() {
	case pulumirpc.LogSeverity_WARNING:
		l.engine.warnings = append(l.engine.warnings, Warning{URN: in.GetUrn(), Message: in.GetMessage()})
	case pulumirpc.LogSeverity_ERROR:
		l.engine.errors = append(l.engine.errors, in.GetMessage())
	case pulumirpc.LogSeverity_INFO:
		l.engine.infos = append(l.engine.infos, in.GetMessage())
	}
	return &emptypb.Empty{}, nil
}

func unmarshal(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
}

func marshal(m resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(m, plugin.MarshalOptions{KeepSecrets: true})
}
