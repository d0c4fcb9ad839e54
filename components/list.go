package components

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// listRule is a rule for the strings of a list. Plain values are checked before anything is registered, outputs once
// they are known.
type listRule struct {
	// most is the maximum number of items, or 0 for no limit; what names the items in messages.
	most int
	what string
	// item checks one item.
	item func(v *violations, path, item string)
}

func (r listRule) count(v *violations, path string, count int) {
	v.check(r.most == 0 || count <= r.most, path, count, fmt.Sprintf("at most %d %s", r.most, r.what))
}

// plain checks the items that are plain values.
func (r listRule) plain(v *violations, path string, list pulumi.StringArrayInput) {
	items, _ := list.(pulumi.StringArray)
	r.count(v, path, len(items))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.required(at, item)
		if text, ok := item.(pulumi.String); ok {
			r.item(v, at, string(text))
		}
	}
}

// checked returns the list, which fails if it turns out to break the rule.
func (r listRule) checked(path string, list pulumi.StringArrayInput) pulumi.StringArrayOutput {
	if missing(list) {
		list = pulumi.StringArray{}
	}
	return list.ToStringArrayOutput().ApplyT(func(items []string) ([]string, error) {
		var v violations
		r.count(&v, path, len(items))
		for i, item := range items {
			r.item(&v, fmt.Sprintf("%s[%d]", path, i), item)
		}
		return items, v.late()
	}).(pulumi.StringArrayOutput)
}

// empty reports whether a list is known to have no items.
func empty(list pulumi.StringArrayInput) bool {
	items, plain := list.(pulumi.StringArray)
	return missing(list) || plain && len(items) == 0
}

// plainText returns an input's value if it is a plain string, and otherwise the empty string.
func plainText(input pulumi.Input) string {
	text, _ := input.(pulumi.String)
	return string(text)
}
