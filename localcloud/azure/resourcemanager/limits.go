package resourcemanager

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// The rules of Resource Manager for tags and names. Of the error codes, only InvalidTagNameCharacters and
// ReservedResourceName are documented.

// Limits of tags (learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations).
const (
	MaxTags     = 50
	maxTagName  = 512
	maxTagValue = 256
)

// reservedTag matches names with a prefix that is reserved for Azure
// (learn.microsoft.com/rest/api/resources/tags/create-or-update).
var reservedTag = regexp.MustCompile(`(?i)^(microsoft|azure|windows)`)

// checkTags checks the tags in a body against the rules of the type.
func (r *Type) checkTags(body Object) error {
	tags, _ := body["tags"].(Object)
	switch {
	case r.MaxTags < 0:
		return distinctTags(tags)
	case r.MaxTags > 0:
		return CheckTags(tags, r.MaxTags)
	}
	return CheckTags(tags, MaxTags)
}

// CheckTags checks tags against Resource Manager's rules. limit is the maximum number of tags.
func CheckTags(tags Object, limit int) error {
	if len(tags) > limit {
		return BadRequest("TooManyTags", "There are %d tags, more than %d.", len(tags), limit)
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		value, _ := tags[name].(string)
		switch {
		case strings.ContainsAny(name, `<>%&\?/`):
			return BadRequest("InvalidTagNameCharacters",
				"The tag name '%s' has reserved characters '<,>,%%,&,\\,?,/' or control characters.", name)
		case name == "" || utf8.RuneCountInString(name) > maxTagName:
			return BadRequest("InvalidTagNameLength", "The tag name '%.40s' must have 1 to %d characters.", name, maxTagName)
		case reservedTag.MatchString(name):
			return BadRequest("ReservedTagName",
				"The tag name '%s' starts with a reserved prefix: microsoft, azure or windows.", name)
		case utf8.RuneCountInString(value) > maxTagValue:
			return BadRequest("InvalidTagValueLength",
				"The value of the tag '%s' is longer than %d characters.", name, maxTagValue)
		}
	}
	return distinctTags(tags)
}

// distinctTags refuses two names that differ only in case.
func distinctTags(tags Object) error {
	seen := map[string]bool{}
	for name := range tags {
		if seen[fold.Lower(name)] {
			return BadRequest("DuplicateTagName", "The tag name '%s' occurs more than once, ignoring case.", name)
		}
		seen[fold.Lower(name)] = true
	}
	return nil
}

// reservedName matches names that a resource with a public endpoint cannot have
// (learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-reserved-resource-name).
var reservedName = regexp.MustCompile(
	`(?i)microsoft|windows|^login|^(access|azure|bing|bizspark|biztalk|cortana|directx|dotnet|dynamics|excel|` +
		`exchange|forefront|groove|hololens|hyperv|kinect|lync|msdn|o365|office|office365|onedrive|onenote|outlook|` +
		`powerpoint|sharepoint|skype|visio|visualstudio|xbox)$`,
)

// checkReserved refuses a reserved name for a public resource.
func (r *Type) checkReserved(name string) error {
	if r.Public && reservedName.MatchString(name) {
		return BadRequest("ReservedResourceName", "The resource name '%s' or a part of the name is a trademarked or "+
			"reserved word.", name)
	}
	return nil
}
