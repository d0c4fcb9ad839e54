// Azurenative3 moves a copy of the program from the SDK of azure-native v2 to that of v3. v3 has no dated packages, but
// one package for each module, with one default version of Azure's API. `make v3` creates the copy, builds it and runs
// its unit tests.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const sdk = "github.com/pulumi/pulumi-azure-native-sdk"

// modules are versions of the modules that work together.
var modules = map[string]string{
	"":                    "v3.17.0",
	"authorization":       "v3.17.0",
	"containerservice":    "v3.17.0",
	"keyvault":            "v3.17.0",
	"managedidentity":     "v3.17.0",
	"monitor":             "v3.16.0",
	"network":             "v3.17.0",
	"operationalinsights": "v3.17.0",
	"privatedns":          "v3.17.0",
}

// renamed are dated packages of v2 whose resources are in another module of v3.
var renamed = map[string]string{
	"insights/v20210501preview": "monitor",
	"insights/v20220601":        "monitor",
	"insights/v20230101":        "monitor",
	"network/v20240601":         "privatedns", // private zones and their links
}

// texts are other differences, replaced after imports and tokens have been moved.
var texts = strings.NewReplacer(
	"network.SubnetArgs{", "network.SubnetTypeArgs{",
	// A test finds private zones by a part of their token, which v3 changes.
	`"network/v20240601"`, `"azure-native:privatedns:"`,
	// A test lists the earlier tokens of vaults, which v3 does not change. In v2, vaults had the version 2024-11-01.
	`{"azure-native:keyvault:", "azure-native:keyvault:"}`,
	`{"azure-native:keyvault:", "azure-native:keyvault/v20230701:", "azure-native:keyvault/v20241101:"}`,
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: azurenative3 FOLDER, a copy of the program, which is changed")
		os.Exit(2)
	}
	if err := move(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "azurenative3:", err)
		os.Exit(1)
	}
}

// move rewrites the Go files in a directory, and its go.mod.
func move(dir string) error {
	changed := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rewrite := rewriteGo
		switch {
		case filepath.Base(path) == "go.mod":
			rewrite = rewriteModule
		case filepath.Ext(path) != ".go" || filepath.Base(filepath.Dir(path)) == "azurenative3":
			return nil
		case strings.HasPrefix(path, filepath.Join(dir, "policy")+string(filepath.Separator)): // which knows every version
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		moved := rewrite(string(content))
		if moved == string(content) {
			return nil
		}
		changed++
		if err := os.WriteFile(path, []byte(moved), 0o600); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		return nil
	})
	fmt.Printf("%d files moved to azure-native v3\n", changed)
	return err
}

var (
	dated   = regexp.MustCompile(regexp.QuoteMeta(sdk) + `/(\w+)/v2/(v\w+)"`)
	utility = strings.NewReplacer(sdk+"/v2/", sdk+"/v3/")
	// token matches the token of a resource or a function. An alias, which ends with the version, keeps naming what states
	// contain.
	token = regexp.MustCompile(`azure-native:(\w+)/(v\w+):`)
	// required matches a requirement in go.mod.
	required = regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(sdk) + `(/\w+)?/v2 v\S+.*\n`)
)

// registered matches resources that the program registers by token, without the SDK and so without its aliases.
var registered = regexp.MustCompile(
	`(?s)RegisterResource\("azure-native:(\w+/v\w+:\w+)".*?utilities\.PkgResourceDefaultOpts\(nil\)`)

// rewriteGo moves imports, tokens and names. Resources registered by token keep the dated token as an alias. Otherwise
// an update would delete what v2 created, including the resource group with everything in it.
func rewriteGo(source string) string {
	source = registered.ReplaceAllStringFunc(source, func(call string) string {
		former := registered.FindStringSubmatch(call)[1] // in two parts, so that the token below is not found in it
		alias := `pulumi.Aliases([]pulumi.Alias{{Type: pulumi.String("azure-native:" + "` + former + `")}})`
		return strings.TrimSuffix(call, "(nil)") + "([]pulumi.ResourceOption{" + alias + "})"
	})
	source = replace(dated, source, func(module string) string { return sdk + "/" + module + `/v3"` })
	source = replace(token, source, func(module string) string { return "azure-native:" + module + ":" })
	return texts.Replace(utility.Replace(source))
}

// replace replaces the matches of a pattern of module and version with the module of v3.
func replace(pattern *regexp.Regexp, source string, with func(module string) string) string {
	return pattern.ReplaceAllStringFunc(source, func(found string) string {
		match := pattern.FindStringSubmatch(found)
		if other, ok := renamed[match[1]+"/"+match[2]]; ok {
			return with(other)
		}
		return with(match[1])
	})
}

// rewriteModule requires the modules of v3 instead of those of v2.
func rewriteModule(gomod string) string {
	kept := required.ReplaceAllString(gomod, "")
	if kept == gomod {
		return gomod
	}
	var lines strings.Builder
	lines.WriteString("\nrequire (\n")
	for module, version := range modules {
		if module != "" {
			module = "/" + module
		}
		fmt.Fprintf(&lines, "\t%s%s/v3 %s\n", sdk, module, version)
	}
	return kept + lines.String() + ")\n"
}
