package resourcemanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Error is a refusal as Resource Manager gives it.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refuse returns a refusal with an HTTP status and a code of Azure's.
func Refuse(status int, code, format string, args ...any) *Error {
	return &Error{status, code, fmt.Sprintf(format, args...)}
}

// BadRequest returns a refusal with status 400.
func BadRequest(code, format string, args ...any) *Error {
	return Refuse(http.StatusBadRequest, code, format, args...)
}

// Conflict returns a refusal with status 409.
func Conflict(code, format string, args ...any) *Error {
	return Refuse(http.StatusConflict, code, format, args...)
}

// NotImplemented is the answer where Azure might have another: nothing is guessed.
func NotImplemented(format string, args ...any) *Error {
	return Refuse(http.StatusNotImplemented, "NotImplemented", "not implemented here: "+format, args...)
}

// AsError finds the refusal in an error. What is none is the local cloud's own fault.
func AsError(err error) *Error {
	var own *Error
	var other interface {
		Refusal() (status int, code, message string)
	} // a data plane's
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &other):
		status, code, message := other.Refusal()
		return Refuse(status, code, "%s", message)
	}
	return Refuse(http.StatusInternalServerError, "InternalServerError", "%v", err)
}

func writeError(w http.ResponseWriter, err error) {
	refused := AsError(err)
	w.Header().Set("x-ms-failure-cause", "gateway")
	writeJSON(w, refused.Status, map[string]any{"error": refused})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody to tell
}

// InvalidParameter returns a refusal of a parameter's value, in AKS's words.
func InvalidParameter(parameter, format string, args ...any) error {
	return BadRequest("InvalidParameter", "The value of parameter %s is invalid: %s.", parameter,
		fmt.Sprintf(format, args...))
}

// BadNotOneOf returns a refusal of a parameter's value that is none of those allowed.
func BadNotOneOf(parameter, given, allowed string) error {
	return InvalidParameter(parameter, "%q is not %s", given, allowed)
}
