package activity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
)

// answer remembers the status of an answer and the beginning of an error.
type answer struct {
	http.ResponseWriter
	status int
	start  []byte
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// looked is how much of an error is looked at. Its code comes before its message.
const looked = 4 << 10

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.status >= http.StatusBadRequest && len(a.start) < looked {
		a.start = append(a.start, p[:min(len(p), looked-len(a.start))]...)
	}
	return a.ResponseWriter.Write(p)
}

// identifier is what codes of errors look like. Anything else might hold what a client sent.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,79}$`)

// code returns the code of the error that was answered, or nothing: that of Azure Storage is in a header, Key Vault's
// innermost tells most, and Entra ID's is a number.
func (a *answer) code() string {
	if a.status < http.StatusBadRequest {
		return ""
	}
	found := a.Header().Get("x-ms-error-code")
	if found == "" {
		found = codeOf(a.start)
	}
	if !identifier.MatchString(found) {
		return ""
	}
	return found
}

// codeOf reads the code of an error from the beginning of a JSON document: error.innererror.code, error.code, or Entra
// ID's first error_codes with AADSTS before it, or else its error.
func codeOf(start []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(start))
	var codes struct{ inner, outer, entra, oauth string }
	var path []string // of objects and lists, by the properties that they are
	property := ""
	named := false // the next token is the value of property
	var kinds []json.Delim
	for {
		token, err := decoder.Token()
		if err != nil {
			break // the end, or where it was cut
		}
		inObject := len(kinds) > 0 && kinds[len(kinds)-1] == '{'
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{', '[':
				path, kinds, named = append(path, property), append(kinds, token), false
				property = ""
			default:
				path, kinds, named = path[:len(path)-1], kinds[:len(kinds)-1], false
			}
			continue
		case string:
			if inObject && !named {
				property, named = token, true
				continue
			}
			switch {
			case len(path) == 3 && path[1] == "error" && path[2] == "innererror" && property == "code":
				codes.inner = token
			case len(path) == 2 && path[1] == "error" && property == "code":
				codes.outer = token
			case len(path) == 1 && property == "error":
				codes.oauth = token
			}
		case float64:
			if len(path) == 2 && path[1] == "error_codes" && codes.entra == "" {
				codes.entra = fmt.Sprintf("AADSTS%.0f", token)
			}
		}
		named = false
	}
	for _, code := range []string{codes.inner, codes.outer, codes.entra, codes.oauth} {
		if code != "" {
			return code
		}
	}
	return ""
}
