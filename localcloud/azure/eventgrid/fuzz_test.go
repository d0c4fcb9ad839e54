package eventgrid

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzValidate checks that no answer of a webhook without the code is accepted.
func FuzzValidate(f *testing.F) {
	f.Add(200, `{"validationResponse":""}`)
	f.Add(200, `{"validationResponse":null}`)
	f.Add(201, `[]`)
	f.Add(204, "")
	f.Add(302, "")
	f.Add(200, strings.Repeat("[", 100_000))
	f.Add(200, strings.Repeat(" ", 2<<20))
	f.Fuzz(func(t *testing.T, status int, answer string) {
		if status < 200 || status > 999 {
			return
		}
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.WriteHeader(status)
			_, _ = w.WriteString(answer)
			return w.Result(), nil
		}), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if Validate(t.Context(), client, Subscription{ID: "/s", Webhook: "https://hook.example/"}) == nil {
			t.Errorf("%d %q is accepted", status, answer)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
