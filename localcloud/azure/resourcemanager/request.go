package resourcemanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// Checks of the path, the headers and the body that every request must pass.

// maxBody is the maximum length of a body in bytes (github.com/Azure/azure-resource-manager-rpc/pull/138).
const maxBody = 4 << 20

// checkPath refuses a path that may name something else in Azure, whose front end may normalize it. An encoded slash
// counts as a slash because clients encode scopes.
func checkPath(at *url.URL) error {
	for segment := range strings.SplitSeq(at.Path, "/") {
		if segment == "." || segment == ".." {
			return NotImplemented("a path with the segment '%s'", segment)
		}
	}
	if !utf8.ValidString(at.Path) || strings.ContainsFunc(at.Path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return BadRequest("InvalidRequestUri", "The path has characters that no name has.")
	}
	return nil
}

// checkPreconditions refuses conditional headers of a write, where they are not implemented. Reads ignore them: the
// client gets the full response.
func (r *Type) checkPreconditions(req *http.Request) error {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return nil
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		honoured := name == "If-None-Match" && req.Method == http.MethodPut && r.CreateOnly
		if req.Header.Get(name) != "" && !honoured {
			return NotImplemented("the header %s of a %s of %s", name, req.Method, r.Name)
		}
	}
	return nil
}

// checkNew refuses a PUT with "If-None-Match: *" of a resource that exists.
func (c *Call) checkNew(ifNoneMatch string) error {
	if ifNoneMatch != "*" || c.Method != http.MethodPut {
		return nil // "Other values will be ignored."
	}
	_, there, err := Load(c.Tx, c.Path)
	if err == nil && there {
		err = Refuse(http.StatusPreconditionFailed, "PreconditionFailed",
			"The resource '%s' exists already and hence cannot be created again.", c.Name())
	}
	return err
}

// checkContent refuses a body whose media type is not JSON or whose text is not UTF-8.
func checkContent(contentType string, data []byte) error {
	if kind, parameters, err := mime.ParseMediaType(contentType); err != nil || kind != "application/json" {
		given := kind
		if contentType == "" {
			given = "<null>"
		} else if given == "" {
			given = contentType
		}
		return Refuse(http.StatusUnsupportedMediaType, "UnsupportedMediaType",
			"The content media type '%s' is not supported. Only 'application/json' is supported.", given)
	} else if charset := parameters["charset"]; charset != "" && !fold.Equal(charset, "utf-8") {
		return NotImplemented("a body in %s", charset)
	}
	if !utf8.Valid(data) {
		return invalidContent("it is not in UTF-8")
	}
	return nil
}

// checkDuplicates refuses an object that has a property twice, because it is unknown which of them Azure uses. The
// caller has checked that data is valid JSON.
func checkDuplicates(data []byte) error {
	type level struct {
		seen  map[string]bool // nil for a list
		value bool            // whether the next token is the value of a property
	}
	var levels []level
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return invalidContent("it is not a JSON object")
		}
		top := len(levels) - 1
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:top]
			continue
		}
		if top >= 0 && levels[top].seen != nil && !levels[top].value {
			name, _ := token.(string)
			if levels[top].seen[name] {
				return NotImplemented("a body with the property '%.40s' twice in one object", name)
			}
			levels[top].seen[name], levels[top].value = true, true
			continue
		}
		if top >= 0 {
			levels[top].value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{seen: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
}

// properties are the top-level properties of a body.
var properties = append([]string{
	"properties", "location", "tags", "identity", "sku", "kind", "zones", "plan", "managedBy",
}, envelope...)

// checkSpelling refuses a top-level property that differs from one of Resource Manager's only in case. Azure accepts
// both spellings; the local cloud would ignore this one.
func checkSpelling(body Object) error {
	for _, name := range slices.Sorted(maps.Keys(body)) {
		i := slices.IndexFunc(properties, func(known string) bool { return fold.Equal(known, name) })
		if i >= 0 && properties[i] != name {
			return NotImplemented("the property '%s', which is spelled '%s' here", name, properties[i])
		}
	}
	return nil
}
