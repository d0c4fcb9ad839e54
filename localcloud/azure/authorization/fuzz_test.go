package authorization

import (
	"strings"
	"testing"
	"time"
)

// TestParseCondition_RefusesDeepNesting checks conditions that could exhaust the stack or the time.
func TestParseCondition_RefusesDeepNesting(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"parentheses": strings.Repeat("(", 4<<20),
		"negations":   strings.Repeat("!", 4<<20),
		"spaces":      strings.Repeat("(", 1<<20) + strings.Repeat(" ", 1<<20) + ")",
	} {
		begin := time.Now()
		if _, err := ParseCondition(text); err == nil {
			t.Errorf("%s: taken", name)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

func FuzzParseCondition(f *testing.F) {
	for _, seed := range []string{
		"",
		"(",
		"!(!(ActionMatches{'a'}))",
		"ActionMatches{'Microsoft.Authorization/roleAssignments/write'} AND ActionMatches{'*'}",
		"@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals " +
			"{b24988ac-6180-42a0-ab88-20f7382dd24c}",
		"@Resource[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase " +
			"{'User', 'Group'} || NOT ActionMatches{'x'}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		condition, err := ParseCondition(text)
		if err == nil {
			condition(About{Action: "a"})
			condition(About{
				Action:   "Microsoft.Authorization/roleAssignments/write",
				Request:  &Assignment{PrincipalType: "User"},
				Resource: &Assignment{},
			})
		}
	})
}
