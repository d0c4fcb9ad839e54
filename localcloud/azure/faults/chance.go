package faults

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
)

// made are the parts of hosts and paths that are others in every run: without them the same program, brought up again, would not
// meet the same faults again.
var made = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "(guid)"},
	{regexp.MustCompile(`(/vaults/|/deletedvaults/)[^/]+`), "$1(vault)"},
	{regexp.MustCompile(`^[^./]+\.vault\.azure\.net`), "(vault).vault.azure.net"},
	{regexp.MustCompile(`([a-z])[0-9a-f]{8}(/|$)`), "$1(hex)$2"},
}

// chance is a number from 0 to 1 that follows from its arguments alone: from the number of a request among those to its path, and
// not from when it comes among all others, so that what runs in parallel meets the same faults in whatever order it comes.
func chance(seed uint64, rule int, method, host, path string, n int) float64 {
	place := strings.ToLower(host + path)
	for _, m := range made {
		place = m.pattern.ReplaceAllString(place, m.as)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s %s %d", seed, rule, method, place, n))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}
