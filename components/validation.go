package components

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var guid = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Violation is one argument that breaks a rule.
type Violation struct {
	// Path of the argument, such as secrets[1].name.
	Path string
	// Given is the argument's value, quoted if it is a string. It is never the value of a secret.
	Given string
	// Allowed says what the rule accepts.
	Allowed string
}

// Error returns the violation on one line.
func (v Violation) Error() string {
	return fmt.Sprintf("%s: given %s, allowed: %s", v.Path, v.Given, v.Allowed)
}

// ValidationError lists every rule that a set of arguments breaks. It unwraps to the violations.
type ValidationError struct {
	Violations []Violation
}

// Error returns the violations, one a line.
func (e *ValidationError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d invalid value(s):", len(e.Violations))
	for _, v := range e.Violations {
		b.WriteString("\n  " + v.Error())
	}
	return b.String()
}

// Unwrap returns the violations as errors, for errors.As.
func (e *ValidationError) Unwrap() []error {
	errs := make([]error, len(e.Violations))
	for i, v := range e.Violations {
		errs[i] = v
	}
	return errs
}

// violations collects the rules that arguments break.
type violations []Violation

// err returns the violations as a [ValidationError], or nil if there are none.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return &ValidationError{Violations: v}
}

// notShown replaces the value of an Input, which may be secret.
const notShown = "an invalid value (not shown)"

// late returns the violations of Inputs that have become known, as an error without their values.
func (v violations) late() error {
	for i := range v {
		if strings.HasPrefix(v[i].Given, `"`) {
			v[i].Given = notShown
		}
	}
	return v.err()
}

// invalid returns the error of one violation of an Input that has become known.
func invalid(path, given, allowed string) error {
	return violations{{Path: path, Given: given, Allowed: allowed}}.late()
}

func (v *violations) add(path string, given any, allowed string) {
	*v = append(*v, Violation{Path: path, Given: quote(given), Allowed: allowed})
}

// state adds a violation with a description instead of the quoted value.
func (v *violations) state(path, given, allowed string) {
	*v = append(*v, Violation{Path: path, Given: given, Allowed: allowed})
}

// check adds a violation unless ok.
func (v *violations) check(ok bool, path string, given any, allowed string) {
	if !ok {
		v.add(path, given, allowed)
	}
}

// most adds a violation if a count exceeds its limit.
func (v *violations) most(path string, count, most int, what string) {
	if count > most {
		v.state(path, fmt.Sprintf("%d %s", count, what), fmt.Sprintf("at most %d %s", most, what))
	}
}

// match checks a string against an anchored pattern.
func (v *violations) match(pattern *regexp.Regexp, path, given, allowed string) {
	v.check(pattern.MatchString(given), path, given, allowed)
}

// oneOf checks a string against a closed set of case-sensitive values.
func oneOf[T ~string](v *violations, path string, given T, allowed ...T) {
	if slices.Contains(allowed, given) {
		return
	}
	v.add(path, string(given), strings.Join(names(allowed, func(one T) string { return string(one) }), ", "))
}

// required adds a violation if a required Input is missing.
func (v *violations) required(path string, given pulumi.Input) {
	if missing(given) {
		v.state(path, "nothing", "a value")
	}
}

// plainID checks an ARM id, or another text, if it is a plain value.
func (v *violations) plainID(path string, given pulumi.Input, pattern *regexp.Regexp, allowed string) {
	if id, plain := given.(pulumi.String); plain {
		v.match(pattern, path, string(id), allowed)
	}
}

// validateProvider checks that a cluster's provider is a Kubernetes provider. With another one, Pulumi would silently
// use the default provider, which uses the machine's kubeconfig.
func (v *violations) validateProvider(cluster Cluster) {
	if missing(cluster.Provider) {
		return
	}
	if pkg, known := packageOf(cluster.Provider); known {
		v.check(pkg == "kubernetes", "cluster.provider", pkg, "a provider of the package kubernetes")
	}
}

// packageOf returns a provider's package, which the SDK does not export.
func packageOf(provider pulumi.ProviderResource) (string, bool) {
	if missing(provider) {
		return "", false
	}
	pkg := reflect.Indirect(reflect.ValueOf(provider)).FieldByName("pkg")
	return pkg.String(), pkg.IsValid() && pkg.String() != ""
}

// missing reports whether an Input or a resource was omitted.
func missing(given any) bool {
	return given == nil || reflect.ValueOf(given).Kind() == reflect.Pointer && reflect.ValueOf(given).IsNil()
}

// rejectOthers rejects every argument except those with the given paths. It skips arguments that exist in Go only.
func (v *violations) rejectOthers(args any, allowed string, except ...string) {
	fields := reflect.ValueOf(args)
	for i := range fields.NumField() {
		path, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("pulumi"), ",")
		if path != "-" && !slices.Contains(except, path) && !fields.Field(i).IsZero() {
			v.state(path, "a value", allowed)
		}
	}
}

// settled returns a copy of a component's arguments without Inputs that hold a nil pointer. To Go such Inputs are not
// nil, and calling them would panic.
func settled[A any](args *A) *A {
	var own A
	if args != nil {
		own = *args
	}
	clearNils(reflect.ValueOf(&own).Elem())
	return &own
}

// clearNils copies what a value points to, and clears interfaces that hold a nil pointer.
func clearNils(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if missing(v.Interface()) {
			v.SetZero()
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() {
				clearNils(field)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Elem().Kind() == reflect.Struct {
			own := reflect.New(v.Type().Elem())
			own.Elem().Set(v.Elem())
			clearNils(own.Elem())
			v.Set(own)
		}
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(own, v)
		for i := range own.Len() {
			clearNils(own.Index(i))
		}
		v.Set(own)
	case reflect.Map:
		if v.IsNil() || v.Type().Elem().Kind() != reflect.Interface {
			return
		}
		own := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			clearNils(value)
			own.SetMapIndex(key, value)
		}
		v.Set(own)
	default: // it holds no Inputs
	}
}

func quote(given any) string {
	if text := reflect.ValueOf(given); text.IsValid() && text.Kind() == reflect.String {
		return fmt.Sprintf("%q", text.String())
	}
	return fmt.Sprint(given)
}

// withDefault returns value, or def if value is zero.
func withDefault[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}
