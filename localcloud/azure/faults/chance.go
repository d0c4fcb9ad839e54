package faults

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
)

// made matches the parts of hosts and paths that differ between runs. They are ignored, so that the same program meets
// the same faults in every run.
var made = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "(guid)"},
	{regexp.MustCompile(`(/vaults/|/deletedvaults/)[^/]+`), "$1(vault)"},
	{regexp.MustCompile(`^[^./]+\.vault\.azure\.net`), "(vault).vault.azure.net"},
	{regexp.MustCompile(`([a-z])[0-9a-f]{8}(/|$)`), "$1(hex)$2"},
}

// chance returns a number from 0 to 1 that depends only on its arguments: the count of requests to the same path, not
// the order among all requests. Parallel requests therefore meet the same faults in any order.
func chance(seed uint64, rule int, method, host, path string, n int) float64 {
	place := strings.ToLower(host + path)
	for _, m := range made {
		place = m.pattern.ReplaceAllString(place, m.as)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s %s %d", seed, rule, method, place, n))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}
