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
	// Resource is the resource's name, or its URN, which begins with urn:. In both an asterisk is any text, though not
	// the whole name.
	Resource string `json:"resource"`
	// Reason says why.
	Reason string `json:"reason"`
	// Until is the last day, YYYY-MM-DD in UTC.
	Until string `json:"until"`
}

// Check returns what is wrong with an exemption, which then exempts nothing.
func (e Exemption) Check(now time.Time) error {
	known := false
	for _, rule := range All() {
		known = known || rule.ID == e.Rule
	}
	until, err := time.Parse(time.DateOnly, e.Until)
	switch {
	case !known:
		return fmt.Errorf("there is no rule %q", e.Rule)
	case !e.namesOne():
		return fmt.Errorf("resource is %q, not the name or the URN of one", e.Resource)
	case strings.TrimSpace(e.Reason) == "":
		return fmt.Errorf("it has no reason")
	case err != nil:
		return fmt.Errorf("until is %q, not a day such as 2027-01-31", e.Until)
	case !now.Before(until.AddDate(0, 0, 1)):
		return fmt.Errorf("it ended on %s", e.Until)
	}
	return nil
}

// namesOne reports whether there is more to the name of the resource than asterisks.
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

// Exempts reports whether the exemption is for a finding.
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
