package components

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// ObjectArgs is one file of a mount: a secret, the public part of a key, or a certificate without its private key (which the
// secret of the same name holds). The rules are the provider's:
// https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/
type ObjectArgs struct {
	// Type is secret, key or cert, in lower case. Required.
	Type string `pulumi:"type"`
	// Name of the object in the vault, 1-127 letters, digits and dashes. Required.
	Name string `pulumi:"name"`
	// Alias is the file's name, which may contain directories, relative to the mount. Left out: the object's name.
	Alias string `pulumi:"alias,optional"`
	// Version is a version's id, 32 hexadecimal digits; the file then never rotates. Left out: the latest version.
	Version string `pulumi:"version,optional"`
	// Format is pem or, for secrets only, pfx. Left out: pem.
	Format string `pulumi:"format,optional"`
	// Encoding of a secret's value: utf-8 is written as it is, hex and base64 are decoded first. For secrets only. Left out:
	// utf-8.
	Encoding string `pulumi:"encoding,optional"`
	// FilePermission is the file's mode in octal, such as 0400. Left out: 0644.
	FilePermission string `pulumi:"filePermission,optional"`
}

// FileName is the file's path relative to the mount.
func (o ObjectArgs) FileName() string {
	return withDefault(o.Alias, o.Name)
}

// objectSpec is an object as the provider reads it.
type objectSpec struct {
	Name           string `yaml:"objectName"`
	Type           string `yaml:"objectType"`
	Alias          string `yaml:"objectAlias,omitempty"`
	Version        string `yaml:"objectVersion,omitempty"`
	Format         string `yaml:"objectFormat,omitempty"`
	Encoding       string `yaml:"objectEncoding,omitempty"`
	FilePermission string `yaml:"filePermission,omitempty"`
}

// objectsParameter is the class's parameter objects: YAML that holds an array of YAML strings.
func objectsParameter(objects []ObjectArgs) (string, error) {
	var list struct {
		Array []string `yaml:"array"`
	}
	for _, o := range objects {
		item, err := yaml.Marshal(objectSpec{
			Name: o.Name, Type: o.Type, Alias: o.Alias, Version: o.Version,
			Format: o.Format, Encoding: o.Encoding, FilePermission: o.FilePermission,
		})
		if err != nil {
			return "", fmt.Errorf("encoding object %s: %w", o.Name, err)
		}
		list.Array = append(list.Array, string(item))
	}
	encoded, err := yaml.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("encoding the objects: %w", err)
	}
	return string(encoded), nil
}

var (
	objectVersion  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	filePermission = regexp.MustCompile(`^0?[0-7]{3}$`)
	controlChar    = regexp.MustCompile(`[\x00-\x1f\x7f]`)
)

// validateObjects checks a mount's objects one by one, then that no two of them claim the same file.
func (v *Violations) validateObjects(at string, objects []ObjectArgs) {
	v.check(len(objects) > 0, at, "nothing", "at least one object")
	files := map[string]bool{}
	for i, o := range objects {
		item := fmt.Sprintf("%s[%d]", at, i)
		v.validateObject(item, o)
		v.check(!claimed(files, o.FileName()), item, o.FileName(), "a file that no object before it has; set alias")
		files[o.FileName()] = true
	}
}

// claimed says whether a file is there already, or is a directory of one, or lies below one.
func claimed(files map[string]bool, name string) bool {
	for other := range files {
		if other == name || strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
			return true
		}
	}
	return false
}

func (v *Violations) validateObject(at string, o ObjectArgs) {
	v.oneOf(at+".type", o.Type, "secret", "key", "cert")
	v.match(objectName, at+".name", o.Name, objectNameRule)
	if o.Alias != "" {
		v.check(validFile(o.Alias), at+".alias", o.Alias, "a clean relative path without .. and control characters")
	}
	if o.Version != "" {
		v.match(objectVersion, at+".version", o.Version, "32 lower-case hexadecimal digits")
	}
	if o.Format != "" {
		v.oneOf(at+".format", o.Format, "pem", "pfx")
		v.check(o.Format != "pfx" || o.Type == "secret", at+".format", o.Format, "pem; pfx is for secrets only")
	}
	if o.Encoding != "" {
		v.oneOf(at+".encoding", o.Encoding, "utf-8", "hex", "base64")
		v.check(o.Type == "secret", at+".encoding", o.Encoding, "nothing; encoding is for secrets only")
	}
	if o.FilePermission != "" {
		v.match(filePermission, at+".filePermission", o.FilePermission, "three octal digits after an optional 0, such as 0644")
	}
}

// validFile holds a file name against the provider's rule, and the driver's, which keeps names that start with two dots for
// itself.
func validFile(name string) bool {
	if path.IsAbs(name) || path.Clean(name) != name || name == "." || controlChar.MatchString(name) {
		return false
	}
	for _, element := range strings.Split(name, "/") {
		if strings.HasPrefix(element, "..") || len(element) > 255 {
			return false
		}
	}
	return true
}
