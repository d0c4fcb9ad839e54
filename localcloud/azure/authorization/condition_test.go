package authorization

import (
	"os"
	"testing"
)

const (
	listed   = "4633458b-17de-408a-b874-0445c86b69e6"
	unlisted = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	write    = "Microsoft.Authorization/roleAssignments/write"
	remove   = "Microsoft.Authorization/roleAssignments/delete"
)

func TestCondition_FollowsDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/roles/assign-condition.txt")
	if err != nil {
		t.Fatal(err)
	}
	condition, err := ParseCondition(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		about About
		want  bool
	}{
		"a listed role is assigned": {About{write, &Assignment{RoleID: listed}, nil}, true},
		"another is":                {About{write, &Assignment{RoleID: unlisted}, nil}, false},
		"a listed one becomes another": {
			About{write, &Assignment{RoleID: unlisted}, &Assignment{RoleID: listed}}, false,
		},
		"nobody says which":           {About{write, nil, nil}, false},
		"a listed role is taken away": {About{remove, nil, &Assignment{RoleID: listed}}, true},
		"another is taken away":       {About{remove, nil, &Assignment{RoleID: unlisted}}, false},
		"assignments are read":        {About{"Microsoft.Authorization/roleAssignments/read", nil, nil}, true},
		"something else in other characters": {
			About{"microsoft.authorization/roleassignments/WRITE", &Assignment{RoleID: unlisted}, nil}, false,
		},
	} {
		if got := condition(test.about); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCondition_EvaluatesOperators(t *testing.T) {
	me := &Assignment{RoleID: listed, PrincipalID: unlisted, PrincipalType: "ServicePrincipal"}
	for text, want := range map[string]bool{
		"ActionMatches{'Microsoft.Authorization/*'}":                        true,
		"!ActionMatches{'Microsoft.Authorization/roleAssignments/write'}":   false,
		"NOT (ActionMatches{'x'})":                                          true,
		"ActionMatches{'*'} && !(ActionMatches{'x'} OR ActionMatches{'y'})": true,
		"ActionMatches{'x'} || ActionMatches{'y'} || ActionMatches{'*'}":    true,
		"@Request[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAnyValues:GuidEquals {" + listed + "," + unlisted + "}": true,
		"@Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase " +
			"{'serviceprincipal'}": true,
		"@Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase " +
			"{'User', 'Group'}": false,
		"@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {" + listed + "}": false, // no resource
		"@request[microsoft.authorization/roleassignments:roledefinitionid] foranyofanyvalues:guidequals " +
			"{4633458B-17DE-408A-B874-0445C86B69E6}": true,
	} {
		condition, err := ParseCondition(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := condition(About{Action: write, Request: me}); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{
		"",
		" ",
		"(",
		")",
		"()",
		"!",
		"ActionMatches{'x'} ActionMatches{'y'}",
		"ActionMatches{'x'} AND",
		"(ActionMatches{'x'}",
		"ActionMatches{'x'})",
		"ActionMatches{x}",
		"ActionMatches{'x'} AND ActionMatches{'y'} OR ActionMatches{'z'}",
		"ActionMatches{'x'} AND NOT SubOperationMatches{'y'}",
		"@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {x}",
		"@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {}",
		"@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAllValues:GuidNotEquals {" + listed + "}",
		"@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:StringEqualsIgnoreCase {'" + listed + "'}",
		"@Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:GuidEquals {" + listed + "}",
		"@Principal[Microsoft.Directory/CustomSecurityAttributes/Id:A_b] StringEquals 'c'",
		"@Environment[UtcNow] DateTimeLessThan '2030-01-01T00:00:00Z'",
	} {
		if _, err := ParseCondition(text); err == nil {
			t.Errorf("%q is taken for known", text)
		}
	}
}
