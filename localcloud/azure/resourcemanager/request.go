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

// What Resource Manager holds every request against before it looks at what the request asks for.

// maxBody is how long a body can be: 4 MB (github.com/Azure/azure-resource-manager-rpc/pull/138).
const maxBody = 4 << 20

// checkPath refuses a path that does not say by itself what it names. Azure's front end may tidy such a path up; what
// it then names is not known here. An encoded slash is a slash: clients encode scopes.
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

// checkPreconditions refuses the headers that make a write depend on what is there, where they are not implemented.
// Reads do not count: a client that gets more than it needs loses nothing.
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

// checkNew refuses to write what is there, where the header If-None-Match asks for that.
func (c *Call) checkNew(ifNoneMatch string) error {
	if ifNoneMatch != "*" || c.Method != http.MethodPut {
		return nil // "Other values will be ignored."
	}
	_, there, err := Load(c.Tx, c.Path)
	if err == nil && there {
		err = Refuse(http.StatusPreconditionFailed, "PreconditionFailed", "The resource '%s' exists already and hence "+
			"cannot be created again.", c.Name())
	}
	return err
}

// checkContent refuses a body that is no JSON, by what its sender says or by what is in it.
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

// checkDuplicates refuses an object that has a property twice: which of them counts, and where, is not known here. The
// rest of what makes data JSON was checked.
func checkDuplicates(data []byte) error {
	type level struct {
		seen  map[string]bool // nil: a list
		value bool            // the next token is the value of a property
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

// properties are those at the top of a body.
var properties = append([]string{
	"properties", "location", "tags", "identity", "sku", "kind", "zones", "plan", "managedBy",
}, envelope...)

// checkSpelling refuses a property at the top of a body that differs in case only from one that Resource Manager knows.
// To Azure they are one; here the other would be ignored.
func checkSpelling(body Object) error {
	for _, name := range slices.Sorted(maps.Keys(body)) {
		i := slices.IndexFunc(properties, func(known string) bool { return fold.Equal(known, name) })
		if i >= 0 && properties[i] != name {
			return NotImplemented("the property '%s', which is spelled '%s' here", name, properties[i])
		}
	}
	return nil
}
