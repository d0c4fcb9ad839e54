package keyvault

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Limits of a request's body, in bytes. A backup of 500 versions of a secret is the largest body.
const (
	maxBody    = 1 << 20
	maxRestore = 32 << 20
)

// readBody reads the JSON of a request. Its media type must be application/json, as for all operations
// (learn.microsoft.com/azure/key-vault/general/common-parameters-and-headers). A request without a body needs no media
// type.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := int64(maxBody)
	if strings.HasSuffix(r.URL.Path, "/restore") {
		limit = maxRestore
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge",
			Message: "The request body is too large."}
	}
	if err != nil {
		return nil, badParameter("The request body cannot be read")
	}
	if len(body) == 0 || r.Method == http.MethodGet {
		return body, nil
	}
	given := r.Header.Get("Content-Type")
	media, parameters, err := mime.ParseMediaType(given)
	charset, has := parameters["charset"]
	if err != nil || media != "application/json" || has && !strings.EqualFold(charset, "utf-8") {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Code: "UnsupportedMediaType",
			Message: "The request entity's media type '" + printable(given) + "' is not supported for this resource."}
	}
	return body, nil
}

// printable returns a text of the request in a form that is safe in a response.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// decode decodes the body strictly. It refuses unknown properties, other spellings, duplicates, invalid UTF-8 and
// trailing data.
func (c *call) decode(into any) error {
	invalid := badParameter("The request body is not valid JSON")
	// Valid limits the depth.
	if !utf8.Valid(c.body) || !json.Valid(c.body) || bytes.TrimLeft(c.body, " \t\r\n")[0] != '{' {
		return invalid
	}
	if err := checkNames(json.NewDecoder(bytes.NewReader(c.body)), reflect.TypeOf(into)); err != nil {
		return err
	}
	err := json.Unmarshal(c.body, into)
	// The decoder's own message may quote the request.
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) {
		return badParameter("Property %s has an invalid value", typed.Field)
	}
	if err != nil {
		return invalid
	}
	return nil
}

// checkNames walks a value that will be decoded into a type, and finds names that the decoder would drop or change.
func checkNames(d *json.Decoder, t reflect.Type) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	delim, _ := token.(json.Delim)
	switch delim {
	case '[':
		var element reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			element = t.Elem()
		}
		for d.More() {
			if err := checkNames(d, element); err != nil {
				return err
			}
		}
	case '{':
		seen := map[string]bool{}
		var known map[string]reflect.Type
		if t != nil && t.Kind() == reflect.Struct {
			known = properties(t)
		}
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := token.(string)
			of, ok := known[name]
			switch {
			case seen[name]:
				return badParameter("Property %.40q is given twice", name)
			case known != nil && !ok:
				return badParameter("Property %.40q is unknown", name)
			}
			seen[name] = true
			if err := checkNames(d, of); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	_, err = d.Token() // closing delimiter
	return err
}

// properties returns the JSON names of a struct's fields.
func properties(t reflect.Type) map[string]reflect.Type {
	found := map[string]reflect.Type{}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			found[name] = field.Type
		}
	}
	return found
}
