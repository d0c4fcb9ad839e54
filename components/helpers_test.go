package components_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func run(t *testing.T, e *mockengine.Engine, program func(ctx *pulumi.Context) error) {
	t.Helper()
	if err := e.Run(program); err != nil {
		t.Fatal(err)
	}
}

// wantInputs compares inputs by path; nil means absent.
func wantInputs(t *testing.T, got mockengine.Registered, want map[string]any) {
	t.Helper()
	for path, value := range want {
		at := got.At(path)
		switch {
		case value == nil && at != nil:
			t.Errorf("%s: %s is %v, want it absent", got.Name, path, at)
		case value != nil && at == nil:
			t.Errorf("%s: %s is absent, want %v", got.Name, path, value)
		case value != nil && !reflect.DeepEqual(*at, resource.NewPropertyValue(value)):
			t.Errorf("%s: %s is %v, want %v", got.Name, path, at, value)
		}
	}
}

// nameOf returns the name in a URN.
func nameOf(urn string) string {
	return urn[strings.LastIndex(urn, "::")+2:]
}

func resourceNames(resources []pulumi.Resource) []string {
	var names []string
	for _, r := range resources {
		if named, ok := r.(interface{ PulumiResourceName() string }); ok {
			names = append(names, named.PulumiResourceName())
		}
	}
	return names
}

// violations returns the violations of an error, which must be a ValidationError or nil.
func violations(t *testing.T, err error) []components.Violation {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *components.ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("got error %v, want violations", err)
	}
	return invalid.Violations
}

// wantViolations checks an error's paths.
func wantViolations(t *testing.T, err error, paths ...string) {
	t.Helper()
	var got []string
	for _, one := range violations(t, err) {
		got = append(got, one.Path)
	}
	if !slices.Equal(got, paths) {
		t.Errorf("violations at %v, want %v", got, paths)
	}
}

// rule is a change of valid arguments that breaks one rule.
type rule[A any] struct {
	name, path string
	change     func(*A)
}

// testRules checks that valid arguments pass, and that each broken rule is reported at its path only.
func testRules[A any](t *testing.T, valid func() *A, validate func(*A) error, rules []rule[A]) {
	t.Helper()
	if err := validate(valid()); err != nil {
		t.Fatalf("valid arguments are refused: %v", err)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			args := valid()
			r.change(args)
			v := violations(t, validate(args))
			if len(v) != 1 || v[0].Path != r.path || v[0].Given == "" || v[0].Allowed == "" {
				t.Errorf("got %v, want one violation at %s", v, r.path)
			}
		})
	}
}

// wantRefused runs a constructor with invalid arguments. It must report all paths, and register and look up nothing.
func wantRefused(t *testing.T, construct func(ctx *pulumi.Context) error, paths ...string) {
	t.Helper()
	e := &mockengine.Engine{}
	err := e.Run(construct)
	wantViolations(t, err, paths...)
	for _, path := range paths {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("the error's text does not name %s", path)
		}
	}
	if registered := e.Resources(); len(registered) > 0 {
		t.Errorf("%s was registered in spite of invalid arguments", registered[0].Name)
	}
	if packages, calls := e.Packages(), e.Invoked(); len(packages)+len(calls) > 0 {
		t.Errorf("%v are registered and %v called in spite of invalid arguments", packages, calls)
	}
}

// wantDistinct checks that all resources have different URNs.
func wantDistinct(t *testing.T, e *mockengine.Engine, count int) {
	t.Helper()
	seen := map[string]bool{}
	for _, one := range e.Resources() {
		if seen[one.URN] {
			t.Errorf("%s is registered twice", one.URN)
		}
		seen[one.URN] = true
	}
	if len(seen) != count {
		t.Errorf("%d resources are registered, want %d", len(seen), count)
	}
}

// wantOutputs checks that a component registered exactly its tagged fields as outputs.
func wantOutputs(t *testing.T, e *mockengine.Engine, name string, component any) {
	t.Helper()
	var want, got []string
	for i := range reflect.TypeOf(component).NumField() {
		if tag := reflect.TypeOf(component).Field(i).Tag.Get("pulumi"); tag != "" {
			want = append(want, tag)
		}
	}
	for key := range e.Get(t, name).Outputs {
		got = append(got, string(key))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s registered outputs %v, want %v", name, got, want)
	}
}

// meeting makes one registration wait for another.
type meeting struct {
	t       *testing.T
	arrived chan struct{}
}

func newMeeting(t *testing.T) meeting { return meeting{t, make(chan struct{})} }

func (m meeting) arrive() { close(m.arrived) }

// await waits for the other, or reports why it does not come.
func (m meeting) await(otherwise string) {
	select {
	case <-m.arrived:
	case <-time.After(20 * time.Second):
		m.t.Error(otherwise)
	}
}
