package azure

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// recorded writes the last PUT of each resource to a file in a folder: the body without secrets, and the API version.
func recorded(dir string, h http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
			if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
				http.Error(w, "reading the request: "+err.Error(), http.StatusRequestEntityTooLarge)
				return
			}
			if err != nil {
				http.Error(w, "reading the request", http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(content))
			mu.Lock()
			err = record(dir, r, content)
			mu.Unlock()
			if err != nil { // whoever asked for it must not miss a part of it
				http.Error(w, "recording the request: "+err.Error(), http.StatusInternalServerError)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// asked writes who is asked a right for which action, by object id, into a file of the folder: each once.
func asked(dir string, log *slog.Logger) func(objectID, action string) {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(objectID, action string) {
		line := objectID + " " + action + "\n"
		mu.Lock()
		defer mu.Unlock()
		if seen[line] {
			return
		}
		seen[line] = true
		file, err := os.OpenFile(filepath.Join(dir, "asked.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = file.WriteString(line)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			log.Error("recording an action", "action", action, "error", err)
		}
	}
}

// secretProperties lists properties that hold a secret, or a URL that may contain a token, wherever they are.
var secretProperties = []string{"adminPassword", "endpointUrl", "password", "secret", "serviceUri"}

// hideSecrets overwrites secrets at every depth, because a template contains resources. Values of secrets, and of
// parameters of templates, are called value, like values that are not secret. It ignores case: Resource Manager may
// still refuse the body.
func hideSecrets(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, one := range value {
			inside, _ := one.(map[string]any)
			switch {
			case one != nil && contains(secretProperties, name):
				value[name] = "(secret)"
			case strings.EqualFold(name, "properties"):
				hideValue(inside)
			case strings.EqualFold(name, "parameters"):
				for _, parameter := range inside {
					parameter, _ := parameter.(map[string]any)
					hideValue(parameter)
				}
			}
			hideSecrets(one)
		}
	case []any:
		for _, one := range value {
			hideSecrets(one)
		}
	}
}

func hideValue(of map[string]any) {
	for name, value := range of {
		if value != nil && strings.EqualFold(name, "value") {
			of[name] = "(secret)"
		}
	}
}

func contains(names []string, name string) bool {
	return slices.ContainsFunc(names, func(one string) bool { return strings.EqualFold(one, name) })
}

func record(dir string, r *http.Request, content []byte) error {
	var body map[string]any
	if json.Unmarshal(content, &body) != nil {
		return nil // Resource Manager will say so
	}
	hideSecrets(body)
	text, err := json.MarshalIndent(map[string]any{
		"path": r.URL.Path, "apiVersion": r.URL.Query().Get("api-version"), "body": body,
	}, "", "  ")
	if err != nil {
		return err
	}
	name := strings.ReplaceAll(strings.ToLower(strings.Trim(r.URL.Path, "/")), "/", "_")
	if len(name) > 200 { // of a file
		name = name[len(name)-200:]
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o600)
}
