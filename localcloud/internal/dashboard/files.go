package dashboard

import (
	"embed"
	"io/fs"
	"mime"
	"net/http"
	"path"
)

//go:embed page
var page embed.FS

// files serves the page's own files.
func files() http.Handler {
	root, err := fs.Sub(page, "page")
	if err != nil {
		panic(err)
	}
	types := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
		".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		if r.URL.Path == "/" {
			name = "index.html"
		}
		content, err := fs.ReadFile(root, name)
		if err != nil || (r.URL.Path != "/" && r.URL.Path != "/"+name) {
			http.NotFound(w, r)
			return
		}
		kind := types[path.Ext(name)] // not the machine's own idea of them
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(name))
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(content) //nolint:gosec // a file that is embedded
	})
}
