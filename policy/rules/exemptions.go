package rules

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Exemption lets resources break a rule for a time.
type Exemption struct {
	// Rule is the rule's ID.
	Rule string `json:"rule"`
	// Resource is the resource's name, or its URN, which begins with urn:. An asterisk matches any text, but must not be
	// the whole name.
	Resource string `json:"resource"`
	// Reason says why.
	Reason string `json:"reason"`
	// Until is the last day, YYYY-MM-DD in UTC.
	Until string `json:"until"`
}

// Check returns what is wrong with an exemption. An invalid exemption exempts nothing.
func (e Exemption) Check(now time.Time) error {
	known := false
	for _, rule := range All() {
		known = known || rule.ID == e.Rule
	}
	until, err := time.Parse(time.DateOnly, e.Until)
	switch {
	case !known:
		return fmt.Errorf("unknown rule %q", e.Rule)
	case !e.namesOne():
		return fmt.Errorf("resource is %q, allowed: the name or the URN of a resource", e.Resource)
	case strings.TrimSpace(e.Reason) == "":
		return fmt.Errorf("reason is empty")
	case err != nil:
		return fmt.Errorf("until is %q, allowed: a day such as 2027-01-31", e.Until)
	case !now.Before(until.AddDate(0, 0, 1)):
		return fmt.Errorf("it ended on %s", e.Until)
	}
	return nil
}

// namesOne reports whether the resource consists of more than asterisks.
func (e Exemption) namesOne() bool {
	name := e.Resource
	if strings.HasPrefix(name, "urn:") {
		i := strings.LastIndex(name, "::")
		if i < 0 {
			return false
		}
		name = name[i:]
	}
	return strings.Trim(name, "*: ") != ""
}

// Exempts reports whether the exemption applies to a finding.
func (e Exemption) Exempts(f Finding) bool {
	if e.Rule != f.Rule.ID {
		return false
	}
	is := f.URN
	if !strings.HasPrefix(e.Resource, "urn:") {
		parts := strings.SplitN(f.URN, "::", 4) // a name may have colons, too
		is = parts[len(parts)-1]
	}
	pattern := regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(e.Resource), `\*`, ".*") + "$")
	return pattern.MatchString(is)
}
