package entra

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// authError is an error of Entra ID. For the codes see
// learn.microsoft.com/entra/identity-platform/reference-error-codes.
type authError struct {
	status int
	name   string // OAuth's
	code   int    // AADSTS
	text   string
}

func (e *authError) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.code, e.text) }

func invalidRequest(code int, format string, args ...any) *authError {
	return &authError{http.StatusBadRequest, "invalid_request", code, fmt.Sprintf(format, args...)}
}

func invalidClient(code int, format string, args ...any) *authError {
	return &authError{http.StatusUnauthorized, "invalid_client", code, fmt.Sprintf(format, args...)}
}

func (e *authError) write(w http.ResponseWriter) {
	trace, correlation := uuid.NewString(), uuid.NewString()
	now := time.Now().UTC().Format("2006-01-02 15:04:05Z")
	writeJSON(w, e.status, map[string]any{
		"error": e.name,
		"error_description": fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s",
			e.Error(), trace, correlation, now),
		"error_codes":    []int{e.code},
		"timestamp":      now,
		"trace_id":       trace,
		"correlation_id": correlation,
		"error_uri":      fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", e.code),
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}
