package arm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
)

// Error is a refusal as Resource Manager gives it.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{status, code, fmt.Sprintf(format, args...)}
}

func badRequest(code, format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

func conflict(code, format string, args ...any) *Error {
	return refuse(http.StatusConflict, code, format, args...)
}

// notImplemented is the answer where Azure might have another: nothing is guessed.
func notImplemented(format string, args ...any) *Error {
	return refuse(http.StatusNotImplemented, "NotImplemented", "not implemented here: "+format, args...)
}

// asError finds the refusal in an error. What is none is the local cloud's own fault.
func asError(err error) *Error {
	var own *Error
	var vault *keyvault.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &vault):
		code := vault.Code
		if vault.Inner != "" {
			code = vault.Inner
		}
		return refuse(vault.Status, code, "%s", vault.Message)
	}
	return refuse(http.StatusInternalServerError, "InternalServerError", "%v", err)
}

func writeError(w http.ResponseWriter, err error) {
	refused := asError(err)
	w.Header().Set("x-ms-failure-cause", "gateway")
	writeJSON(w, refused.Status, map[string]any{"error": refused})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody to tell
}
