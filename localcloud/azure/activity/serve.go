package activity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Page is a part of a record.
type Page struct {
	// Next is what "after" has to be for what comes after this page.
	Next int `json:"next"`
	// Started is when the record began. Its first request has the number 1.
	Started  time.Time `json:"started"`
	Requests []Request `json:"requests"`
}

const (
	longestPage = 1000
	longestWait = time.Minute
)

// ServeHTTP answers with a [Page] of the requests after the one with the number "after", at most "limit". With "wait",
// a duration, it answers when there is one, or after that time.
func (r *Record) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	after, limit := 0, longestPage
	var wait time.Duration
	var err error
	query := req.URL.Query()
	number := func(name string, into *int, least, most int) {
		given := query.Get(name)
		if given == "" || err != nil {
			return
		}
		var n int
		if n, err = strconv.Atoi(given); err != nil || n < least || n > most {
			err = fmt.Errorf("%s is %.40q and must be a number from %d to %d", name, given, least, most)
		}
		*into = n
	}
	number("after", &after, 0, 1<<53)
	number("limit", &limit, 1, longestPage)
	if given := query.Get("wait"); given != "" && err == nil {
		if wait, err = time.ParseDuration(given); err != nil || wait < 0 || wait > longestWait {
			err = fmt.Errorf("wait is %.40q and must be a duration from 0s to %s", given, longestWait)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	found, next, newer := r.Since(after, limit)
	if newer != nil && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-newer:
			found, next, _ = r.Since(after, limit)
		case <-timer.C:
		case <-req.Context().Done():
			return
		}
	}
	if found == nil {
		found = []Request{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Page{next, r.started, found}) // the client has gone: nobody to tell
}
