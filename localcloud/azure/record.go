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
	"strings"
	"sync"
)

// recorded writes requests to Resource Manager into a folder, one file per resource with the last body of a PUT and its
// API version. It omits the values of secrets.
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
			if err != nil { // an incomplete record must not go unnoticed
				http.Error(w, "recording the request: "+err.Error(), http.StatusInternalServerError)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// asked writes each principal's object ID and requested action into a file of the folder, without duplicates.
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

// hideSecrets overwrites the values of secrets and the URLs of webhooks, which may contain a token. It does so at every
// depth, because templates contain resources.
func hideSecrets(value any) {
	switch value := value.(type) {
	case map[string]any:
		if properties, ok := value["properties"].(map[string]any); ok {
			for _, name := range []string{"value", "endpointUrl"} {
				if properties[name] != nil {
					properties[name] = "(secret)"
				}
			}
		}
		for _, one := range value {
			hideSecrets(one)
		}
	case []any:
		for _, one := range value {
			hideSecrets(one)
		}
	}
}

func record(dir string, r *http.Request, content []byte) error {
	var body map[string]any
	if json.Unmarshal(content, &body) != nil {
		return nil // Resource Manager reports the error
	}
	hideSecrets(body)
	text, err := json.MarshalIndent(map[string]any{
		"path": r.URL.Path, "apiVersion": r.URL.Query().Get("api-version"), "body": body,
	}, "", "  ")
	if err != nil {
		return err
	}
	name := strings.ReplaceAll(strings.ToLower(strings.Trim(r.URL.Path, "/")), "/", "_")
	if len(name) > 200 { // limit of file names
		name = name[len(name)-200:]
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o600)
}
