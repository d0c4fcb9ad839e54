package resourcemanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Error is an error response of Resource Manager.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refuse returns an error with an HTTP status and one of Azure's error codes.
func Refuse(status int, code, format string, args ...any) *Error {
	return &Error{status, code, fmt.Sprintf(format, args...)}
}

// BadRequest returns an error with status 400.
func BadRequest(code, format string, args ...any) *Error {
	return Refuse(http.StatusBadRequest, code, format, args...)
}

// Conflict returns an error with status 409.
func Conflict(code, format string, args ...any) *Error {
	return Refuse(http.StatusConflict, code, format, args...)
}

// NotImplemented returns an error with status 501, for requests that Azure may answer and the local cloud does not.
func NotImplemented(format string, args ...any) *Error {
	return Refuse(http.StatusNotImplemented, "NotImplemented", "not implemented here: "+format, args...)
}

// AsError returns the Error in err. An error that contains none is a fault of the local cloud and gets status 500.
func AsError(err error) *Error {
	var own *Error
	var dataPlane interface {
		Refusal() (status int, code, message string)
	}
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &dataPlane):
		status, code, message := dataPlane.Refusal()
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
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}

// InvalidParameter returns an error for a parameter's value, with the text of AKS.
func InvalidParameter(parameter, format string, args ...any) error {
	return BadRequest("InvalidParameter", "The value of parameter %s is invalid: %s.", parameter,
		fmt.Sprintf(format, args...))
}

// BadNotOneOf returns an error for a parameter whose value is not one of the allowed ones.
func BadNotOneOf(parameter, given, allowed string) error {
	return InvalidParameter(parameter, "%q is not %s", given, allowed)
}
