package plugin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// sdks maps azure-native's modules to the Go modules of its SDK, from which the schemas are read.
var sdks = map[string]string{
	"":                    "v2@v2.92.0",
	"authorization":       "authorization/v2@v2.92.0",
	"containerservice":    "containerservice/v2@v2.82.0",
	"eventgrid":           "eventgrid/v2@v2.92.0",
	"insights":            "insights/v2@v2.90.0",
	"keyvault":            "keyvault/v2@v2.92.0",
	"managedidentity":     "managedidentity/v2@v2.81.0",
	"network":             "network/v2@v2.92.0",
	"operationalinsights": "operationalinsights/v2@v2.90.0",
	"resources":           "resources/v2@v2.92.0",
}

// vaultModel is the API version whose models replace those of vaultPackage, which no Go SDK has. The bodies are equal.
const vaultModel = "2024-11-01"

// apiVersionsOfTheCloud asks the local cloud for the API versions of the catalog's types.
func apiVersionsOfTheCloud(t *testing.T) map[string][]string {
	t.Helper()
	client, owner := serveLocalCloud(t)
	p := newAzureNative(Version2)
	p.options.Transport = client
	for k, v := range owner {
		p.config[string(k)] = v.StringValue()
	}
	if _, err := p.Configure(t.Context(), &pulumirpc.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	versions := map[string][]string{}
	for _, rt := range catalog {
		namespace, kind := rt.arm()
		answer, err := p.arm.get(t.Context(), "/subscriptions/"+p.subscriptionID()+"/providers/"+namespace, "2021-04-01")
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range answer["resourceTypes"].([]any) {
			if one := one.(map[string]any); strings.EqualFold(one["resourceType"].(string), kind) {
				for _, version := range one["apiVersions"].([]any) {
					versions[rt.token] = append(versions[rt.token], version.(string))
				}
			}
		}
		if len(versions[rt.token]) == 0 {
			t.Errorf("the local cloud has no %s/%s", namespace, kind)
		}
		slices.Sort(versions[rt.token])
	}
	return versions
}

// arm returns Resource Manager's name of the type.
func (rt *resourceType) arm() (namespace, kind string) {
	_, path, ok := strings.Cut(rt.path, "/providers/")
	if !ok {
		return "Microsoft.Resources", "subscriptions/resourceGroups"
	}
	var kinds []string
	segments := strings.Split(path, "/")
	for i := 1; i < len(segments); i += 2 {
		kinds = append(kinds, segments[i])
	}
	return segments[0], strings.Join(kinds, "/")
}

// sdkReader reconstructs a schema from the Go source that was generated from it, by names, types and tags of structs.
type sdkReader struct {
	*testing.T
	pkg    string
	dirs   map[string]string // folders, by module
	schema map[string]any
	parsed map[string]*sdkPackage
}

// sdkPackage is one module in one API version.
type sdkPackage struct {
	prefix  string // of its tokens, including the colon
	structs map[string]*ast.StructType
	enums   map[string]string // enumerations' types in the schema
	texts   map[string]string // contents of files, by lower-case name without .go
}

func newSDKReader(t *testing.T, pkg string) *sdkReader {
	t.Helper()
	const source = "github.com/pulumi/pulumi-azure-native-sdk/"
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json")
	for _, module := range sdks {
		download.Args = append(download.Args, source+module)
	}
	download.Dir = t.TempDir() // outside a module, so that the versions above apply
	download.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := download.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", download, err, out)
	}
	r := &sdkReader{T: t, pkg: pkg, dirs: map[string]string{}, parsed: map[string]*sdkPackage{}}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var module struct{ Path, Version, Dir string }
		if err := d.Decode(&module); err != nil {
			t.Fatal(err)
		}
		for name, pinned := range sdks {
			if source+pinned == module.Path+"@"+module.Version {
				r.dirs[name] = module.Dir
			}
		}
	}

	provider := r.parse(r.dirs[""], "")
	config := r.properties(provider, provider.structs["providerArgs"])
	for name, property := range config {
		if secretSetting.MatchString(name) {
			property.(object)["secret"] = true
		}
	}
	r.schema = map[string]any{
		"name": pkg, "version": Version2,
		"config":    object{"variables": config},
		"provider":  object{"type": "object", "inputProperties": config},
		"resources": object{}, "functions": object{}, "types": object{},
	}
	if pkg == vaultPackage {
		r.schema["version"] = Version3
		r.schema["parameterization"] = object{
			"baseProvider": object{"name": basePackage, "version": Version3},
			"parameter":    base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(vaultParameter)))),
		}
	}
	return r
}

// module returns the package of a module in an API version, or nil if the SDK does not have it.
func (r *sdkReader) module(module, apiVersion string) *sdkPackage {
	dir, prefix := r.dirs[module], r.pkg+":"+module+":"
	if apiVersion != "" {
		date := "v" + strings.ReplaceAll(apiVersion, "-", "")
		dir, prefix = filepath.Join(dir, date), r.pkg+":"+module+"/"+date+":"
	}
	if r.pkg == vaultPackage {
		prefix = vaultPackage + ":keyvault/v20260201:"
	}
	if _, known := r.parsed[prefix]; !known {
		r.parsed[prefix] = nil
		if _, err := os.Stat(dir); err == nil {
			r.parsed[prefix] = r.parse(dir, prefix)
		}
	}
	return r.parsed[prefix]
}

func (r *sdkReader) parse(dir, prefix string) *sdkPackage {
	r.Helper()
	p := &sdkPackage{prefix, map[string]*ast.StructType{}, map[string]string{}, map[string]string{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		r.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.Fatal(err)
		}
		name := strings.ToLower(strings.TrimSuffix(filepath.Base(file), ".go"))
		p.texts[name] = string(text)
		p.declare(r.T, string(text))
	}
	return p
}

// declaration matches structs and enumerations as gofmt formats them.
var declaration = regexp.MustCompile(`(?m)^type \w+ (?:struct \{\n(?s:.*?)^\}|string|float64|int|bool)$`)

func (p *sdkPackage) declare(t *testing.T, text string) {
	t.Helper()
	source := "package p\n" + strings.Join(declaration.FindAllString(text, -1), "\n")
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		spec := d.(*ast.GenDecl).Specs[0].(*ast.TypeSpec)
		switch kind := spec.Type.(type) {
		case *ast.StructType:
			p.structs[spec.Name.Name] = kind
		case *ast.Ident:
			p.enums[spec.Name.Name] = simple[kind.Name]
		}
	}
}

// addResource adds a type and its getter, if the SDK has them.
func (r *sdkReader) addResource(module, apiVersion, name string) {
	r.Helper()
	p := r.module(module, apiVersion)
	if p == nil || p.structs[name] == nil {
		return
	}
	var args *ast.StructType
	for other, of := range p.structs {
		if unicode.IsLower(rune(other[0])) && strings.EqualFold(other, name+"Args") {
			args = of
		}
	}
	if args == nil { // not a resource
		return
	}
	outputs := r.properties(p, p.structs[name])
	if r.pkg == vaultPackage {
		outputs["azureApiVersion"] = object{"type": "string"} // new in v3
	}
	text := p.texts[strings.ToLower(name)]
	inputs := r.properties(p, args)
	addDefaults(r.T, inputs, text, args)
	one := object{
		"properties": outputs, "required": required(p.structs[name]), "type": "object",
		"inputProperties": inputs, "requiredInputs": requiredArguments(text, args),
	}
	if aliases := typeAlias.FindAllStringSubmatch(text, -1); aliases != nil {
		all := []any{}
		for _, alias := range aliases {
			all = append(all, object{"type": alias[1]})
		}
		if r.pkg == vaultPackage { // lets stacks of v2 move without replacements
			date := strings.ReplaceAll(apiVersion, "-", "")
			all = append(all, object{"type": basePackage + ":" + module + "/v" + date + ":" + name})
		}
		one["aliases"] = all
	}
	r.schema["resources"].(object)[p.prefix+name] = one
	r.addFunction(module, apiVersion, "get"+name)
}

func (r *sdkReader) addFunction(module, apiVersion, name string) {
	p := r.module(module, apiVersion)
	if p == nil {
		return
	}
	exported := strings.ToUpper(name[:1]) + name[1:]
	lookup := "Lookup" + strings.TrimPrefix(exported, "Get")
	args, result := p.structs[lookup+"Args"], p.structs[lookup+"Result"]
	if result == nil {
		args, result = p.structs[exported+"Args"], p.structs[exported+"Result"]
	}
	if result == nil {
		return
	}
	one := object{"outputs": object{"type": "object", "properties": r.properties(p, result), "required": required(result)}}
	if args != nil {
		one["inputs"] = object{"type": "object", "properties": r.properties(p, args), "required": required(args)}
	}
	r.schema["functions"].(object)[p.prefix+name] = one
}

var (
	typeAlias        = regexp.MustCompile(`Type: pulumi\.String\("(azure-native:[^"]+)"\)`)
	requiredArgument = regexp.MustCompile(`invalid value for required argument '(\w+)'`)
	defaultArgument  = regexp.MustCompile(`args\.(\w+) = pulumi\.(?:String|Bool|Int|Float64)(?:Ptr)?\((.+)\)\n`)
	secretSetting    = regexp.MustCompile(`(?i)(secret|password|token)$`)
	mayLack          = regexp.MustCompile(`(Ptr|Array|Map)Output$`)
	propertyTag      = regexp.MustCompile("pulumi:\"([^\",]+)")
)

// fields calls do for each property of a struct.
func fields(of *ast.StructType, do func(goName, name string, kind ast.Expr)) {
	for _, f := range of.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		if m := propertyTag.FindStringSubmatch(f.Tag.Value); m != nil {
			do(f.Names[0].Name, m[1], f.Type)
		}
	}
}

func (r *sdkReader) properties(p *sdkPackage, of *ast.StructType) object {
	all := object{}
	fields(of, func(_, name string, kind ast.Expr) { all[name] = r.kind(p, kind) })
	return all
}

// required returns the properties that are always present. Structs do not say this of lists and maps.
func required(of *ast.StructType) []string {
	names := []string{}
	fields(of, func(_, name string, kind ast.Expr) {
		typeName := ""
		switch kind := kind.(type) {
		case *ast.Ident:
			typeName = kind.Name
		case *ast.SelectorExpr:
			typeName = kind.Sel.Name
		}
		if typeName != "" && !mayLack.MatchString(typeName) {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return names
}

// requiredArguments returns the arguments that a resource's constructor requires.
func requiredArguments(text string, args *ast.StructType) []string {
	names := []string{}
	for _, m := range requiredArgument.FindAllStringSubmatch(text, -1) {
		fields(args, func(goName, name string, _ ast.Expr) {
			if goName == m[1] && !slices.Contains(names, name) {
				names = append(names, name)
			}
		})
	}
	slices.Sort(names)
	return names
}

// addDefaults adds the defaults that a resource's constructor fills in.
func addDefaults(t *testing.T, inputs object, text string, args *ast.StructType) {
	t.Helper()
	for _, m := range defaultArgument.FindAllStringSubmatch(text, -1) {
		fields(args, func(goName, name string, _ ast.Expr) {
			if goName != m[1] {
				return
			}
			var value any
			if err := json.Unmarshal([]byte(m[2]), &value); err != nil {
				t.Fatalf("default of %s: %v", name, err)
			}
			inputs[name].(object)["default"] = value
		})
	}
}

// simple maps Go types to types in the schema.
var simple = map[string]string{"string": "string", "bool": "boolean", "int": "integer", "float64": "number"}

// outputTypes maps Pulumi's outputs to types in the schema.
var outputTypes = map[string]string{"String": "string", "Bool": "boolean", "Int": "integer", "Float64": "number"}

// kind returns the schema's type for a Go type.
func (r *sdkReader) kind(p *sdkPackage, kind ast.Expr) object {
	switch kind := kind.(type) {
	case *ast.StarExpr:
		return r.kind(p, kind.X)
	case *ast.ArrayType:
		return object{"type": "array", "items": r.kind(p, kind.Elt)}
	case *ast.MapType:
		return object{"type": "object", "additionalProperties": r.kind(p, kind.Value)}
	case *ast.InterfaceType:
		return object{"$ref": "pulumi.json#/Any"}
	case *ast.SelectorExpr:
		return r.output(p, strings.TrimSuffix(kind.Sel.Name, "Output"))
	case *ast.Ident:
		if output, ok := strings.CutSuffix(kind.Name, "Output"); ok {
			return r.output(p, output)
		}
		return r.named(p, kind.Name)
	}
	r.Fatalf("%s: unknown type %T", p.prefix, kind)
	return nil
}

// output returns the type to which an output with this name resolves.
func (r *sdkReader) output(p *sdkPackage, name string) object {
	if kind, ok := outputTypes[name]; ok {
		return object{"type": kind}
	}
	if name == "Any" {
		return object{"$ref": "pulumi.json#/Any"}
	}
	if p.structs[name] != nil || p.enums[name] != "" {
		return r.named(p, name)
	}
	if element, ok := strings.CutSuffix(name, "Ptr"); ok {
		return r.output(p, element)
	}
	if element, ok := strings.CutSuffix(name, "Array"); ok {
		return object{"type": "array", "items": r.output(p, element)}
	}
	if element, ok := strings.CutSuffix(name, "Map"); ok {
		return object{"type": "object", "additionalProperties": r.output(p, element)}
	}
	r.Fatalf("%s: unknown output %s", p.prefix, name)
	return nil
}

// named returns a reference to a type of the package, and adds the type to the schema.
func (r *sdkReader) named(p *sdkPackage, name string) object {
	if kind, ok := simple[name]; ok {
		return object{"type": kind}
	}
	if kind, ok := p.enums[name]; ok {
		return object{"type": kind} // Azure accepts values that the SDK does not list
	}
	of := p.structs[name]
	if of == nil {
		r.Fatalf("%s: unknown type %s", p.prefix, name)
	}
	types := r.schema["types"].(object)
	if token := p.prefix + name; types[token] == nil {
		types[token] = object{} // ends the recursion if the type contains itself
		types[token] = object{"type": "object", "properties": r.properties(p, of), "required": required(of)}
	}
	return object{"$ref": "#/types/" + p.prefix + name}
}
