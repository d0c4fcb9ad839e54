package authorization

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// Condition is a condition of a role assignment
// (https://learn.microsoft.com/azure/role-based-access-control/conditions-format). The supported language is the part
// that delegates the management of role assignments: ActionMatches, the three attributes of an assignment, AND, OR, !
// and parentheses.
type Condition func(About) bool

// About describes the object of an action, for conditions.
type About struct {
	Action string
	// Request is the requested role assignment, Resource the existing one. Nil means none.
	Request, Resource *Assignment
}

// words matches the supported words of the language.
var words = regexp.MustCompile(`(?i)^\s*(?:` + strings.Join([]string{
	`(ActionMatches\s*\{\s*'([^'{}]+)'\s*\})`,
	`(@(Request|Resource)\s*\[\s*Microsoft\.Authorization/roleAssignments:(RoleDefinitionId|PrincipalId|PrincipalType)\s*\]\s*` +
		`ForAnyOfAnyValues:(GuidEquals|StringEqualsIgnoreCase)\s*\{([^{}]*)\})`,
	`(\(|\)|!|&&|\|\||(?:AND|OR|NOT)\b)`,
}, "|") + `)`)

var guids = regexp.MustCompile(`^(?i)[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)

// conditionMax limits the length of a condition, because the parser recurses for each parenthesis.
const conditionMax = 64 << 10

// ParseCondition parses a condition. The error says what is not supported here.
func ParseCondition(text string) (Condition, error) {
	if len(text) > conditionMax {
		return nil, fmt.Errorf("a condition of more than %d bytes", conditionMax)
	}
	p := &conditionParser{text: strings.TrimSpace(text)}
	p.next()
	condition := p.several()
	if p.err == nil && p.word != "" {
		p.fail()
	}
	return condition, p.err
}

// conditionParser parses a condition word by word.
type conditionParser struct {
	text  string
	word  string // ( ) ! && ||, a test, or empty at the end
	match []string
	err   error
}

func (p *conditionParser) fail() {
	if p.err == nil {
		p.err = fmt.Errorf("the condition at %.60q", strings.TrimSpace(p.word+p.text))
	}
	p.word, p.text = "", ""
}

func (p *conditionParser) next() {
	p.word = ""
	if strings.TrimSpace(p.text) == "" {
		p.text = ""
		return
	}
	p.match = words.FindStringSubmatch(p.text)
	if p.match == nil {
		p.fail()
		return
	}
	p.text = p.text[len(p.match[0]):]
	p.word = strings.TrimSpace(p.match[0])
	switch strings.ToUpper(p.word) {
	case "AND":
		p.word = "&&"
	case "OR":
		p.word = "||"
	case "NOT":
		p.word = "!"
	}
}

// several parses conditions with the same operator between them. Mixed operators require parentheses.
func (p *conditionParser) several() Condition {
	left := p.one()
	for operator := p.word; p.word == "&&" || p.word == "||"; {
		if p.word != operator {
			p.fail()
			break
		}
		p.next()
		one, other := left, p.one()
		if operator == "&&" {
			left = func(a About) bool { return one(a) && other(a) }
		} else {
			left = func(a About) bool { return one(a) || other(a) }
		}
	}
	return left
}

func (p *conditionParser) one() Condition {
	switch {
	case p.word == "!":
		p.next()
		of := p.one()
		return func(a About) bool { return !of(a) }
	case p.word == "(":
		p.next()
		within := p.several()
		if p.word != ")" {
			p.fail()
		} else {
			p.next()
		}
		return within
	case p.word != "" && p.match[1] != "":
		pattern := fold.Lower(p.match[2])
		p.next()
		return func(a About) bool { return matches(pattern, fold.Lower(a.Action)) }
	case p.word != "" && p.match[3] != "":
		return p.attribute()
	}
	p.fail()
	return func(About) bool { return false }
}

// attribute compares an attribute of a role assignment. Every comparison with a missing assignment is false.
func (p *conditionParser) attribute() Condition {
	request, name, operator := strings.EqualFold(p.match[4], "Request"), strings.ToLower(p.match[5]), strings.ToLower(
		p.match[6],
	)
	var values []string
	for value := range strings.SplitSeq(p.match[7], ",") {
		value = strings.TrimSpace(value)
		if operator == "guidequals" && guids.MatchString(value) {
			values = append(values, value)
		} else if quoted := strings.Trim(value, "'"); operator != "guidequals" && len(quoted) == len(value)-2 {
			values = append(values, quoted)
		} else {
			p.fail()
		}
	}
	if (name == "principaltype") == (operator == "guidequals") { // only this attribute is not a GUID
		p.fail()
	}
	p.next()
	return func(a About) bool {
		assignment := a.Resource
		if request {
			assignment = a.Request
		}
		if assignment == nil {
			return false
		}
		is := map[string]string{
			"roledefinitionid": assignment.RoleID,
			"principalid":      assignment.PrincipalID,
			"principaltype":    assignment.PrincipalType,
		}[name]
		return slices.ContainsFunc(values, func(value string) bool { return fold.Equal(value, is) })
	}
}
