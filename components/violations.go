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
	// Given is the argument's value, quoted if it is a string. Never the value of a secret.
	Given string
	// Allowed says what the rule accepts.
	Allowed string
}

// Violations are all the rules that a set of arguments breaks. As an error it names every one of them on a line of its own.
type Violations []Violation

// Error lists the violations, one a line.
func (v Violations) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d invalid value(s):", len(v))
	for _, one := range v {
		fmt.Fprintf(&b, "\n  %s: given %s, allowed: %s", one.Path, one.Given, one.Allowed)
	}
	return b.String()
}

// Err is the violations as an error, nil if there are none.
func (v Violations) Err() error {
	if len(v) == 0 {
		return nil
	}
	return v
}

func (v *Violations) add(path string, given any, allowed string) {
	*v = append(*v, Violation{Path: path, Given: quote(given), Allowed: allowed})
}

// check adds a violation unless ok.
func (v *Violations) check(ok bool, path string, given any, allowed string) {
	if !ok {
		v.add(path, given, allowed)
	}
}

// match checks a string against an anchored pattern.
func (v *Violations) match(pattern *regexp.Regexp, path, given, allowed string) {
	v.check(pattern.MatchString(given), path, given, allowed)
}

// oneOf checks a string against the values Azure knows, which are case-sensitive.
func (v *Violations) oneOf(path, given string, allowed ...string) {
	for _, a := range allowed {
		if given == a {
			return
		}
	}
	v.add(path, given, strings.Join(allowed, ", "))
}

// required adds a violation if an Input that the component cannot do without was left out.
func (v *Violations) required(path string, given pulumi.Input) {
	if given == nil || reflect.ValueOf(given).Kind() == reflect.Pointer && reflect.ValueOf(given).IsNil() {
		*v = append(*v, Violation{Path: path, Given: "nothing", Allowed: "a value"})
	}
}

// nothingBeside refuses every argument that is given, but those whose paths are excepted.
func (v *Violations) nothingBeside(args any, allowed string, except ...string) {
	fields := reflect.ValueOf(args)
	for i := range fields.NumField() {
		path, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("pulumi"), ",")
		if !slices.Contains(except, path) && !fields.Field(i).IsZero() {
			*v = append(*v, Violation{Path: path, Given: "a value", Allowed: allowed})
		}
	}
}

func quote(given any) string {
	if s, ok := given.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(given)
}

// withDefault is value, or def where value was left out.
func withDefault[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}
