package components

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// ObjectArgs is an object that a mount shows as a file, or as several versions in a directory: a secret, the public
// part of a key, or a certificate without its private key (which the secret of the same name holds). The rules are the
// provider's: https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/ and, if that
// page says nothing, its source code: github.com/Azure/secrets-store-csi-driver-provider-azure/pkg/provider, v1.8.2.
type ObjectArgs struct {
	// Type is secret, key or cert, in lower case. Required.
	Type ObjectType `pulumi:"type"`
	// Name of the object in the vault, 1-127 letters, digits and dashes. Required.
	Name string `pulumi:"name"`
	// Alias is the file's path relative to the mount; its directories are created. It consists of printable characters,
	// does not start or end with a space, never has two dots in a row, and has at most 255 bytes between slashes. Upper
	// and lower case differ. Defaults to the object's name.
	Alias string `pulumi:"alias,optional"`
	// Version is a version's id, 32 hexadecimal digits. The file then never rotates. Defaults to the latest version.
	Version string `pulumi:"version,optional"`
	// VersionHistory, from 2 to 100, mounts the newest enabled versions: a directory named like the object or its alias,
	// with a file for each version, 0 for the newest, 1 for the one before, up to VersionHistory (one file more than the
	// number says) or as many as exist. Listing versions requires no more than the role on the object. Not together with
	// Version. Each version costs one more request to the vault at every poll of every pod. Defaults to a single file of
	// one version, as do 0 and 1.
	VersionHistory int `pulumi:"versionHistory,optional"`
	// Format is pem or, for secrets only, pfx. It decides how a certificate's secret is written if the vault stores it as
	// PKCS #12: as PEM, or as the base64 text that the vault returns, which the encoding base64 turns into a .pfx file. It
	// does not change other secrets. Defaults to pem.
	Format ObjectFormat `pulumi:"format,optional"`
	// Encoding of a secret's value: utf-8 writes it unchanged, hex and base64 decode it first. For secrets only. Defaults
	// to utf-8.
	Encoding ObjectEncoding `pulumi:"encoding,optional"`
	// FilePermission is the file's mode in octal, such as 0444, not 0. The file belongs to root, so other users can read
	// it only if the last digit permits it, which a TestPod requires. Defaults to 0644.
	FilePermission string `pulumi:"filePermission,optional"`
}

// readableByOthers reports whether users other than root, and not of its group, may read the file.
func (o ObjectArgs) readableByOthers() bool {
	if !filePermission.MatchString(o.FilePermission) { // the default, or a violation of its own
		return true
	}
	return strings.ContainsAny(o.FilePermission[len(o.FilePermission)-1:], "4567")
}

// FileName returns the file's path relative to the mount, or the path of the newest version's file if there is a
// version history.
func (o ObjectArgs) FileName() string {
	return o.files()[0]
}

// path returns the file's path, or the directory of the version history.
func (o ObjectArgs) path() string {
	return withDefault(o.Alias, o.Name)
}

// hasHistory reports whether the provider writes a directory of versions. To the provider, a history of one version is
// none.
func (o ObjectArgs) hasHistory() bool {
	return o.VersionHistory > 1
}

// files returns all files that the provider may write for the object, the newest version first.
func (o ObjectArgs) files() []string {
	if !o.hasHistory() {
		return []string{o.path()}
	}
	var files []string
	for i := range min(o.VersionHistory, maxVersionHistory) + 1 {
		files = append(files, o.path()+"/"+strconv.Itoa(i))
	}
	return files
}

// objectSpec is an object in the format of the provider.
type objectSpec struct {
	Name           string         `yaml:"objectName"`
	Type           ObjectType     `yaml:"objectType"`
	Alias          string         `yaml:"objectAlias,omitempty"`
	Version        string         `yaml:"objectVersion,omitempty"`
	VersionHistory int            `yaml:"objectVersionHistory,omitempty"`
	Format         ObjectFormat   `yaml:"objectFormat,omitempty"`
	Encoding       ObjectEncoding `yaml:"objectEncoding,omitempty"`
	FilePermission string         `yaml:"filePermission,omitempty"`
}

// objectsParameter returns the class's parameter objects: YAML with an array of YAML strings.
func objectsParameter(objects []ObjectArgs) (string, error) {
	var list struct {
		Array []string `yaml:"array"`
	}
	for _, o := range objects {
		spec := objectSpec{
			Name: o.Name, Type: o.Type, Alias: o.Alias, Version: o.Version,
			Format: o.Format, Encoding: o.Encoding, FilePermission: o.FilePermission,
		}
		if o.hasHistory() {
			spec.VersionHistory = o.VersionHistory
		}
		item, err := yaml.Marshal(spec)
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

const (
	// maxVersionHistory keeps the provider's answer, all files in one message, below the driver's limit of 4 MiB: secrets
	// have up to 25 kB.
	maxVersionHistory = 100
	// maxFilePath is the limit of the driver and the kernel, 4096, minus about 190 bytes that the node prepends:
	// /var/lib/kubelet/pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount/..<time>/.
	maxFilePath = 3840
	maxFileName = 255
)

var (
	objectVersion  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	filePermission = regexp.MustCompile(`^0?([1-7][0-7]{2}|0[1-7][0-7]|00[1-7])$`)
)

// validateObjects checks each object of a mount, and that no two objects use the same file: in the provider the last
// one would win.
func (v *violations) validateObjects(at string, objects []ObjectArgs) {
	v.check(len(objects) > 0, at, "nothing", "at least one object")
	taken := fileTree{}
	for i, o := range objects {
		item := fmt.Sprintf("%s[%d]", at, i)
		v.validateObject(item, o)
		files := o.files()
		if clash := slices.IndexFunc(files, taken.has); clash >= 0 {
			v.add(item, files[clash], "a file that no other object has; set alias")
		}
		taken.add(files)
	}
}

// fileTree is a set of files (true) and of the directories that contain them (false).
type fileTree map[string]bool

// has reports whether a path is in use already: as a file, as a directory of one, or below one.
func (t fileTree) has(file string) bool {
	if _, ok := t[file]; ok {
		return true
	}
	for dir := path.Dir(file); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if t[dir] {
			return true
		}
	}
	return false
}

func (t fileTree) add(files []string) {
	for _, file := range files {
		t[file] = true
		for dir := path.Dir(file); dir != "." && dir != "/"; dir = path.Dir(dir) {
			t[dir] = t[dir] || false
		}
	}
}

func (v *violations) validateObject(at string, o ObjectArgs) {
	oneOf(v, at+".type", o.Type, ObjectSecret, ObjectKey, ObjectCertificate)
	v.match(objectName, at+".name", o.Name, objectNameRule)
	if o.Alias != "" {
		v.check(validFile(o.Alias), at+".alias", o.Alias,
			"a clean relative path of printable characters without .., not starting or ending with a space, at most 255 "+
				"bytes between slashes")
	}
	if o.Version != "" {
		v.match(objectVersion, at+".version", o.Version, "32 lower-case hexadecimal digits")
		v.check(!o.hasHistory(), at+".version", o.Version, "nothing; versionHistory starts at the latest version")
	}
	v.check(o.VersionHistory >= 0 && o.VersionHistory <= maxVersionHistory, at+".versionHistory", o.VersionHistory,
		fmt.Sprintf("0-%d", maxVersionHistory))
	// The provider also accepts PFX, but compares with pfx when it rejects the format for keys and certificates.
	if o.Format != "" {
		oneOf(v, at+".format", o.Format, FormatPEM, FormatPFX)
		v.check(o.Format != FormatPFX || o.Type == ObjectSecret, at+".format", o.Format, "pem; pfx is for secrets only")
	}
	if o.Encoding != "" {
		oneOf(v, at+".encoding", o.Encoding, EncodingUTF8, EncodingHex, EncodingBase64)
		v.check(o.Type == ObjectSecret, at+".encoding", o.Encoding, "nothing; encoding is for secrets only")
	}
	if o.FilePermission != "" {
		// The provider gives a file mode 0 if it cannot parse this.
		v.match(filePermission, at+".filePermission", o.FilePermission, "three octal digits after an optional 0, "+
			"such as 0444, not all 0")
	}
}

// validFile checks a file name against the rules of the provider, and of the driver, which reserves names that start
// with two dots. The provider trims names, so names that it would change are rejected.
func validFile(name string) bool {
	if path.IsAbs(name) || path.Clean(name) != name || name == "." || strings.Contains(name, "..") ||
		strings.TrimSpace(name) != name || len(name) > maxFilePath || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) &&
		!slices.ContainsFunc(strings.Split(name, "/"), func(element string) bool { return len(element) > maxFileName })
}
