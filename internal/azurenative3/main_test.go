package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMove_RewritesImportsTokensAndModules(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"a.go": `import (
	insights "` + sdk + `/insights/v2/v20220601"
	network "` + sdk + `/network/v2/v20240601"
	"` + sdk + `/v2/utilities"
)
var subnet = network.SubnetArgs{}
var token = "azure-native:network/v20230601:VirtualNetwork"
var alias = "azure-native:keyvault/v20241101"
var zones = "network/v20240601"
var group = ctx.RegisterResource("azure-native:resources/v20220901:ResourceGroup", "g", pulumi.Map{
}, group, utilities.PkgResourceDefaultOpts(nil)...)
`,
		"go.mod": "module m\n\nrequire (\n\t" + sdk + "/insights/v2 v2.90.0\n\t" + sdk +
			"/v2 v2.92.0\n\texample.com/other v1.0.0\n)\n",
		"b.txt": sdk + "/v2/utilities",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := move(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"a.go": {
			sdk + `/monitor/v3"`, sdk + `/privatedns/v3"`, sdk + `/v3/utilities"`, "network.SubnetTypeArgs{}",
			`"azure-native:network:VirtualNetwork"`, `"azure-native:keyvault/v20241101"`,
			`zones = "azure-native:privatedns:"`, `RegisterResource("azure-native:resources:ResourceGroup"`,
			`Alias{{Type: pulumi.String("azure-native:" + "resources/v20220901:ResourceGroup")}})})...)`,
		},
		"go.mod": {sdk + "/monitor/v3 v3.16.0\n", sdk + "/v3 v3.17.0\n", "example.com/other v1.0.0"},
		"b.txt":  {sdk + "/v2/utilities"},
	} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(string(content), text) {
				t.Errorf("%s has no %q:\n%s", name, text, content)
			}
		}
		if name != "b.txt" && (strings.Contains(string(content), "/v2/") || strings.Contains(string(content), "/v2 ")) {
			t.Errorf("%s still knows v2:\n%s", name, content)
		}
	}
}

// TestRewriteGo_KeepsWhatV2Made checks that each resource registered by token gets an alias. Without one, a move would
// delete what v2 created.
func TestRewriteGo_KeepsWhatV2Made(t *testing.T) {
	const register = `RegisterResource("azure-native:`
	registrations := 0
	for _, dir := range []string{"components", "infra", "deploy/bootstrap"} {
		files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found := strings.Count(string(content), register)
			aliases := strings.Count(rewriteGo(string(content)), `Alias{{Type: pulumi.String("azure-native:" + "`)
			if aliases != found {
				t.Errorf("%s registers %d resources by their tokens, and %d have an alias", file, found, aliases)
			}
			registrations += found
		}
	}
	if registrations == 0 {
		t.Error("nothing is registered by its token")
	}
}
