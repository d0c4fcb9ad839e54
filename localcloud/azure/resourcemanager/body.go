package resourcemanager

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
)

// Object is a JSON object: a resource as in Resource Manager's responses, or a part of one.
type Object = map[string]any

// envelope lists properties that every resource has and that Resource Manager ignores in requests.
var envelope = []string{"id", "name", "type", "systemData", "etag"}

// checkBody checks the body against the description of its type in an API version and against the model of the
// operation. It removes nulls and read-only properties, which count as not sent.
//
// A property that neither the description nor the model has is refused as in Azure. A property that only the
// description has is not implemented. If the version is not described, the official model decides what Azure has; a
// partial model may lack properties, which are then not implemented.
func (c *Call) checkBody(model func() any, version string) error {
	kind, described := specs.Lookup(c.kindOf.Name, version)
	exact := described && fold.Equal(kind.Version, version)
	if model == nil || c.action != "" {
		described, exact = false, false
	}
	var unknown []string // properties that the description does not have
	if described {
		var err error
		if unknown, err = c.checkDescription(kind, exact); err != nil {
			return err
		}
	}
	c.Body = Clone(c.Body)
	for _, path := range c.kindOf.Ignored {
		if described && !slices.Contains(unknown, path) {
			takeOut(c.Body, nil, strings.Split(path, "."))
		}
	}
	if model == nil {
		return nil
	}
	missing, err := missingFrom(model(), c.Body)
	if err != nil {
		return err
	}
	invalid := missing
	if exact {
		invalid = unknown
	}
	switch {
	case (exact || !c.kindOf.Partial) && len(invalid) > 0:
		return invalidContent("could not find member '%s' on the type of this resource", strings.Join(invalid, "', '"))
	case len(missing) > 0:
		return NotImplemented("the properties '%s'", strings.Join(missing, "', '"))
	}
	return nil
}

// checkDescription refuses a body that violates a description. It returns the properties that the description does not
// have. It removes read-only properties, because a client that changes a resource may send back what it has read;
// outside of lists, a read-only property must have the value of the resource. A PATCH may leave out required
// properties. Begin checks the location. If the description is not exact but of an older version, enumerations are not
// checked, because the newer version may have more values.
func (c *Call) checkDescription(kind *specs.Type, exact bool) (unknown []string, err error) {
	var wrong []string
	code := cmp.Or(c.kindOf.InvalidValue, invalidRequestContent)
	var old Object
	for _, v := range kind.Check(c.Body) {
		switch v.Rule {
		case specs.Unknown:
			unknown = append(unknown, v.Path)
		case specs.ReadOnly:
			if old == nil {
				if old, _, err = Load(c.Tx, c.Path); err != nil {
					return nil, err
				}
			}
			if !takeOut(c.Body, old, strings.Split(v.Path, ".")) {
				wrong = append(wrong, v.String())
			}
		case specs.Required:
			if c.Method != http.MethodPatch && v.Path != "location" {
				wrong = append(wrong, v.String())
			}
		case specs.Kind:
			code = invalidRequestContent
			wrong = append(wrong, v.String())
		default:
			if exact || v.Rule != specs.Enum {
				wrong = append(wrong, v.String())
			}
		}
	}
	switch {
	case len(wrong) == 0:
	case code == invalidRequestContent:
		return nil, invalidContent("%s", strings.Join(wrong, "; "))
	default:
		return nil, BadRequest(code, "The request is invalid: %s.", strings.Join(wrong, "; "))
	}
	return unknown, nil
}

// missingFrom returns the sorted paths of the properties of a body that a model does not have.
func missingFrom(model any, body Object) ([]string, error) {
	sent := make(Object, len(body))
	for key, value := range body {
		if !slices.Contains(envelope, key) {
			sent[key] = value
		}
	}
	data, err := json.Marshal(sent)
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	if err := json.Unmarshal(data, model); err != nil {
		return nil, invalidContent("the value of '%s' has the wrong type", faultyField(err))
	}
	kept, err := json.Marshal(model)
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	var known Object
	if err := json.Unmarshal(kept, &known); err != nil {
		return nil, fmt.Errorf("decoding a request: %w", err)
	}
	var unknown []string
	compare("", sent, known, &unknown)
	slices.Sort(unknown)
	return unknown, nil
}

// takeOut removes the property at a path. It reports whether the property was in a list or had the same value in old.
func takeOut(from, old Object, path []string) bool {
	key, rest := path[0], path[1:]
	name, list, _ := strings.Cut(key, "[")
	switch child := from[name].(type) {
	case []any:
		if i, err := strconv.Atoi(strings.TrimSuffix(list, "]")); err == nil && i < len(child) && len(rest) > 0 {
			if o, ok := child[i].(Object); ok {
				takeOut(o, nil, rest)
			}
			return true
		}
	case Object:
		if len(rest) > 0 {
			below, _ := old[name].(Object)
			return takeOut(child, below, rest)
		}
	}
	same := reflect.DeepEqual(from[key], old[key])
	delete(from, key)
	return same
}

const invalidRequestContent = "InvalidRequestContent"

func invalidContent(format string, args ...any) *Error {
	return BadRequest(invalidRequestContent, "The request content was invalid and could not be deserialized: %s.",
		fmt.Sprintf(format, args...))
}

// compare collects the paths of sent that are not in known. Nulls count as not sent.
func compare(path string, sent, known any, unknown *[]string) {
	switch sent := sent.(type) {
	case Object:
		known, _ := known.(Object)
		for key, value := range sent {
			at := strings.TrimPrefix(path+"."+key, ".")
			if _, ok := known[key]; !ok && value != nil {
				*unknown = append(*unknown, at)
				continue
			}
			compare(at, value, known[key], unknown)
		}
	case []any:
		known, _ := known.([]any)
		for i, value := range sent {
			if i < len(known) {
				compare(fmt.Sprintf("%s[%d]", path, i), value, known[i], unknown)
			}
		}
	}
}

var structField = regexp.MustCompile(`struct field (\w+)`)

// faultyField returns the path at which decoding failed, without the value, which may be a secret.
func faultyField(err error) string {
	var path []string
	for _, match := range structField.FindAllStringSubmatch(err.Error(), -1) {
		path = append(path, match[1])
	}
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) && typed.Field != "" {
		path = append(path, typed.Field)
	}
	return strings.Join(path, ".")
}

// Decode decodes a body or a part of one, which checkBody has checked, into the value that into points to.
func Decode(body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return invalidContent("the value of '%s' has the wrong type", faultyField(err))
	}
	return nil
}

// Child returns the object under key. If there is none, Child adds an empty one.
func Child(o Object, key string) Object {
	if c, ok := o[key].(Object); ok {
		return c
	}
	c := Object{}
	o[key] = c
	return c
}

// Text returns the string under key, or "" if there is none.
func Text(o Object, key string) string {
	s, _ := o[key].(string)
	return s
}

// SetDefault sets the value under key if there is none.
func SetDefault(o Object, key string, value any) {
	if o[key] == nil {
		o[key] = value
	}
}

// Clone returns a deep copy without nulls, which count as not sent.
func Clone(o Object) Object {
	c := make(Object, len(o))
	for key, value := range o {
		switch value := value.(type) {
		case nil:
		case Object:
			c[key] = Clone(value)
		case []any:
			c[key] = cloneList(value)
		default:
			c[key] = value
		}
	}
	return c
}

func cloneList(list []any) []any {
	c := make([]any, len(list))
	for i, value := range list {
		switch value := value.(type) {
		case Object:
			c[i] = Clone(value)
		case []any:
			c[i] = cloneList(value)
		default:
			c[i] = value
		}
	}
	return c
}
