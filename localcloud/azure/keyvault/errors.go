package keyvault

import (
	"fmt"
	"net/http"
)

// Error is an error of Key Vault.
type Error struct {
	Status  int
	Code    string
	Message string
	Inner   string // innererror.code, may be empty
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func (e *Error) body() any {
	fault := map[string]any{"code": e.Code, "message": e.Message}
	if e.Inner != "" {
		fault["innererror"] = map[string]any{"code": e.Inner}
	}
	return map[string]any{"error": fault}
}

func badParameter(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "BadParameter", Message: fmt.Sprintf(format, args...)}
}

func notFound(kind Kind, name, version string) *Error {
	if version != "" {
		name += "/" + version
	}
	return &Error{
		Status: http.StatusNotFound,
		Code:   kind.title() + "NotFound",
		Message: fmt.Sprintf(
			"A %s with (name/id) %s was not found in this key vault. If you recently deleted this %[1]s you may "+
				"be able to recover it using the correct recovery command. For help resolving this issue, please see "+
				"https://go.microsoft.com/fwlink/?linkid=2125182",
			kind,
			name,
		),
	}
}

func isDeleted(kind Kind, name string) *Error {
	return &Error{
		Status: http.StatusConflict, Code: "Conflict", Inner: "ObjectIsDeletedButRecoverable",
		Message: fmt.Sprintf("%s %s is currently in a deleted but recoverable state, and its name cannot be reused; in this "+
			"state, the %s can only be recovered or purged.", kind.title(), name, kind),
	}
}

// managed returns the error for a request to the secret or the key of a certificate that must be sent to the
// certificate.
func managed(kind Kind, operation string) *Error {
	return &Error{
		Status: http.StatusForbidden,
		Code:   "Forbidden",
		Inner:  kind.title() + "ManagedByKeyVault",
		Message: fmt.Sprintf(
			"Operation %q is not allowed on this %s, since it is associated with a certificate. Perform the operation on "+
				"the corresponding certificate. For more information refer to "+
				"https://docs.microsoft.com/en-us/azure/key-vault/certificates/about-certificates#composition-of-a-certificate",
			operation,
			kind,
		),
	}
}

func disabled(kind Kind, operation string) *Error {
	return &Error{
		Status: http.StatusForbidden, Code: "Forbidden", Inner: kind.title() + "Disabled",
		Message: fmt.Sprintf("Operation %s is not allowed on a disabled %s.", operation, kind),
	}
}

func notImplemented(what string) *Error {
	return &Error{Status: http.StatusNotImplemented, Code: "NotImplemented", Message: "not implemented here: " + what}
}

// Refusal returns the error in Resource Manager's shape.
func (e *Error) Refusal() (status int, code, message string) {
	code = e.Code
	if e.Inner != "" {
		code = e.Inner
	}
	return e.Status, code, e.Message
}
