package graph

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// query has the OData parameters of a request (https://learn.microsoft.com/graph/query-parameters).
type query struct {
	any    [][]filterTerm // $filter: alternatives, each with terms that must all hold; empty for no filter
	fields []string       // $select; empty for all
	top    int            // $top; 0 for no limit
	count  bool           // $count
}

// filterTerm compares a property with a value. Like Graph, it ignores case.
type filterTerm struct {
	property, value string
	starts          bool // the property starts with the value
	within          bool // the property is a collection that contains the value
}

func parseQuery(raw string) (q query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, badRequest("Invalid query: " + err.Error())
	}
	for name, given := range values {
		if len(given) != 1 {
			return q, badRequest("Query option '" + name +
				"' was specified more than once, but it must be specified at most once.")
		}
		value := given[0]
		switch "$" + strings.TrimPrefix(strings.ToLower(name), "$") {
		case "$filter":
			q.any, err = parseFilter(value)
		case "$select":
			for _, field := range strings.Split(value, ",") {
				q.fields = append(q.fields, strings.TrimSpace(field))
			}
		case "$top":
			if q.top, err = strconv.Atoi(value); err != nil || q.top < 1 || q.top > 999 {
				return q, badRequest("Invalid page size specified: '" + value + "'. Must be between 1 and 999 inclusive.")
			}
		case "$count":
			if q.count, err = strconv.ParseBool(value); err != nil {
				return q, badRequest("Invalid value '" + value +
					"' for $count query option found. Valid values are 'true' and 'false'.")
			}
		default:
			return q, notImplemented("the query option " + name)
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

const quoted = `'((?:[^']|'')*)'`

var (
	equals   = regexp.MustCompile(`^\s*(\w+)\s+eq\s+` + quoted + `\s*`)
	starts   = regexp.MustCompile(`^\s*(?i:startswith)\(\s*(\w+)\s*,\s*` + quoted + `\s*\)\s*`)
	contains = regexp.MustCompile(`^\s*(\w+)/any\(\s*(\w+)\s*:\s*(\w+)\s+eq\s+` + quoted + `\s*\)\s*`)
	one      = regexp.MustCompile(`^\s*(\w+)\s+in\s+\(\s*` + quoted + `((?:\s*,\s*` + quoted + `)*)\s*\)\s*`)
	literal  = regexp.MustCompile(quoted)
	joins    = regexp.MustCompile(`^(and|or)\s`)
	keyed    = regexp.MustCompile(`^(\w+)\((?:(\w+)=)?` + quoted + `\)$`)
)

func unquoted(value string) string { return strings.ReplaceAll(value, "''", "'") }

// parseFilter parses a filter and returns its alternatives, joined by or. Each has comparisons with strings, joined by
// and. Other filters are not implemented.
func parseFilter(filter string) ([][]filterTerm, error) {
	unknown := notImplemented("the filter " + strconv.Quote(filter))
	alternatives := [][]filterTerm{nil}
	for rest := filter; ; {
		var terms []filterTerm
		var match []string
		last := len(alternatives) - 1
		if match = equals.FindStringSubmatch(rest); match != nil {
			terms = []filterTerm{{property: match[1], value: unquoted(match[2])}}
		} else if match = starts.FindStringSubmatch(rest); match != nil {
			terms = []filterTerm{{property: match[1], value: unquoted(match[2]), starts: true}}
		} else if match = contains.FindStringSubmatch(rest); match != nil && match[2] == match[3] {
			terms = []filterTerm{{property: match[1], value: unquoted(match[4]), within: true}}
		} else if match = one.FindStringSubmatch(rest); match != nil && match[0] == filter { // only as the whole filter
			for _, value := range literal.FindAllStringSubmatch(rest, -1) {
				terms = append(terms, filterTerm{property: match[1], value: unquoted(value[1])})
			}
		} else {
			return nil, unknown
		}
		rest = rest[len(match[0]):]
		alternatives[last] = append(alternatives[last], terms[0])
		for _, more := range terms[1:] {
			alternatives = append(alternatives, []filterTerm{more})
		}
		if rest == "" {
			return alternatives, nil
		}
		join := joins.FindStringSubmatch(rest)
		if join == nil {
			return nil, unknown
		}
		if join[1] == "or" {
			alternatives = append(alternatives, nil)
		}
		rest = rest[len(join[0]):]
	}
}

// cutKey splits a segment such as servicePrincipals(appId='…') into a name and a key.
func cutKey(segment string) (name string, key filterTerm, ok bool) {
	match := keyed.FindStringSubmatch(segment)
	if match == nil {
		return segment, key, false
	}
	key = filterTerm{property: match[2], value: unquoted(match[3])}
	if key.property == "" {
		key.property = "id"
	}
	return match[1], key, true
}

// microsofts lists the application ids of Microsoft's services. Every tenant has their service principals, but this
// directory does not. Requests for them are not implemented, so that they are never reported as missing.
var microsofts = []string{
	"00000003-0000-0000-c000-000000000000", // Microsoft Graph
	"6dae42f8-4368-4678-94ff-3960e28e3630", // Azure Kubernetes Service AAD Server
	"7319c514-987d-4e9b-ac3d-d38c4f427f4c", // Azure Kubernetes Service
	"797f4846-ba00-4fd7-ba43-dac1f8f63013", // Azure Resource Manager
	"cfa8b339-82a2-471a-a3c9-0fc0be7a4093", // Azure Key Vault
	"e406a681-f3d4-42a8-90b6-c2b029497af1", // Azure Storage
}

// honest returns an error for values that the directory would answer wrongly.
func (t filterTerm) honest() error {
	if slices.Contains(microsofts, strings.ToLower(t.value)) {
		return notImplemented("the service principal " + t.value + " of a Microsoft service")
	}
	return nil
}

// matches reports whether an object matches the filter.
func (q query) matches(o object) (bool, error) {
	wanted := len(q.any) == 0
	for _, all := range q.any {
		holds := true
		for _, term := range all {
			if err := term.honest(); err != nil {
				return false, err
			}
			value, ok := o[term.property]
			text, isText := value.(string)
			list, isList := value.([]string)
			switch {
			case !ok || isList != term.within || value != nil && !isText && !isList:
				return false, notImplemented("a filter by " + term.property)
			case term.within:
				is := func(one string) bool { return strings.EqualFold(one, term.value) }
				holds = holds && slices.ContainsFunc(list, is)
			case term.starts:
				holds = holds && isText && strings.HasPrefix(strings.ToLower(text), strings.ToLower(term.value))
			default:
				holds = holds && isText && strings.EqualFold(text, term.value)
			}
		}
		wanted = wanted || holds
	}
	return wanted, nil
}

// shown returns the selected properties of an object.
func (q query) shown(o object) (object, error) {
	part := object{}
	if len(q.fields) == 0 {
		for name, value := range o {
			part[name] = value
		}
	}
	for _, field := range q.fields {
		value, ok := o[field]
		if !ok {
			return nil, notImplemented("the property " + strconv.Quote(field))
		}
		part[field] = value
	}
	return part, nil
}
