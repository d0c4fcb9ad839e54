package resourcemanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Object is a JSON object: a resource as Resource Manager shows it, or a part of one.
type Object = map[string]any

// envelope is what every resource has and a client may send back; Resource Manager ignores it.
var envelope = []string{"id", "name", "type", "systemData", "etag"}

// checkBody holds a body against the model of its type. What the official model does not keep, Azure does not know; a partial model
// is one of our own, and Azure may know more.
func checkBody(model any, body Object, partial bool) error {
	sent := make(Object, len(body))
	for key, value := range body {
		if !slices.Contains(envelope, key) {
			sent[key] = value
		}
	}
	data, err := json.Marshal(sent)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	if err := json.Unmarshal(data, model); err != nil {
		return invalidContent("the value of '%s' has the wrong type", faultyField(err))
	}
	kept, err := json.Marshal(model)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	var known Object
	if err := json.Unmarshal(kept, &known); err != nil {
		return fmt.Errorf("decoding a request: %w", err)
	}
	var unknown []string
	compare("", sent, known, &unknown)
	if len(unknown) > 0 {
		slices.Sort(unknown)
		if partial {
			return NotImplemented("the properties '%s'", strings.Join(unknown, "', '"))
		}
		return invalidContent("could not find member '%s' on the type of this resource", strings.Join(unknown, "', '"))
	}
	return nil
}

func invalidContent(format string, args ...any) *Error {
	return BadRequest("InvalidRequestContent", "The request content was invalid and could not be deserialized: %s.",
		fmt.Sprintf(format, args...))
}

// compare collects the paths of sent that are not in known. A null stands for nothing sent.
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

// faultyField names where decoding failed, without the value: it may be a secret.
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

// Decode gives a body, or a part of one, the shape of into. The body was checked before.
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

// Child is the object under key, made where there is none.
func Child(o Object, key string) Object {
	if c, ok := o[key].(Object); ok {
		return c
	}
	c := Object{}
	o[key] = c
	return c
}

// Text is the string under key, or empty.
func Text(o Object, key string) string {
	s, _ := o[key].(string)
	return s
}

// SetDefault writes a value where there is none.
func SetDefault(o Object, key string, value any) {
	if o[key] == nil {
		o[key] = value
	}
}

// Clone copies deeply, and drops nulls: a null in a body stands for nothing sent.
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
		if o, ok := value.(Object); ok {
			value = Clone(o)
		}
		c[i] = value
	}
	return c
}
