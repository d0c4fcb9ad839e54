package plugin

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

const (
	stringToken   = "random:index/randomString:RandomString"
	passwordToken = "random:index/randomPassword:RandomPassword"
	uuidToken     = "random:index/randomUuid:RandomUuid"
	idToken       = "random:index/randomId:RandomId"
)

func urn(token string) string { return "urn:pulumi:dev::test::" + token + "::x" }

func bag(t *testing.T, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := encode(resource.NewPropertyMapFromMap(m))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func unbag(t *testing.T, s *structpb.Struct) resource.PropertyMap {
	t.Helper()
	m, err := plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepSecrets: true, KeepUnknowns: true})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func create(t *testing.T, token string, inputs map[string]any) (string, resource.PropertyMap) {
	t.Helper()
	resp, err := (&random{}).Create(t.Context(), &pulumirpc.CreateRequest{Urn: urn(token), Properties: bag(t, inputs)})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetId(), unbag(t, resp.GetProperties())
}

func TestRandomString_HasRequestedLengthAndCharacters(t *testing.T) {
	tests := []struct {
		name   string
		inputs map[string]any
		want   string
	}{
		{"defaults", map[string]any{"length": 40}, `^[a-zA-Z0-9!@#$%&*()\-_=+\[\]{}<>:?]{40}$`},
		{"no special", map[string]any{"length": 40, "special": false}, `^[a-zA-Z0-9]{40}$`},
		{"lower only", map[string]any{"length": 40, "special": false, "upper": false, "numeric": false}, `^[a-z]{40}$`},
		{"number is numeric", map[string]any{"length": 40, "special": false, "upper": false, "number": false}, `^[a-z]{40}$`},
		{
			"own special",
			map[string]any{"length": 40, "lower": false, "upper": false, "numeric": false, "overrideSpecial": "~"},
			`^~{40}$`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id, outputs := create(t, stringToken, test.inputs)
			result := outputs["result"].StringValue()
			if !regexp.MustCompile(test.want).MatchString(result) || id != result {
				t.Errorf("got %q with ID %q, want %s", result, id, test.want)
			}
		})
	}
}

func TestRandomString_HasMinimumOfEachClass(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		inputs := map[string]any{"length": 10, "minLower": 3, "minUpper": 2, "minNumeric": 2, "minSpecial": 3}
		_, outputs := create(t, stringToken, inputs)
		s := outputs["result"].StringValue()
		for _, c := range []struct {
			alphabet string
			least    int
		}{{classes[0].alphabet, 3}, {classes[1].alphabet, 2}, {classes[2].alphabet, 2}, {classes[3].alphabet, 3}} {
			n := 0
			for _, r := range s {
				if strings.ContainsRune(c.alphabet, r) {
					n++
				}
			}
			if n != c.least {
				t.Errorf("%q has %d of %q, want %d", s, n, c.alphabet, c.least)
			}
		}
		seen[s] = true
	}
	if len(seen) != 50 {
		t.Errorf("50 strings, %d different", len(seen))
	}
}

func TestPick_IsUniform(t *testing.T) {
	const n = 22000
	chosen, err := pick("abcdefghijk", n)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[byte]int{}
	for _, c := range chosen {
		counts[c]++
	}
	for c, count := range counts {
		if count < 1600 || count > 2400 { // 2000 expected, with a standard deviation of 43
			t.Errorf("%c: %d of %d", c, count, n)
		}
	}
	if len(counts) != 11 {
		t.Errorf("%d of 11 characters occur", len(counts))
	}
}

func TestRandomPassword_IsSecretAndMatchesHash(t *testing.T) {
	for _, length := range []int{16, 100} {
		id, outputs := create(t, passwordToken, map[string]any{"length": length})
		if id != "none" {
			t.Errorf("the ID is %q", id)
		}
		if !outputs["result"].IsSecret() || !outputs["bcryptHash"].IsSecret() {
			t.Fatal("not marked secret")
		}
		result := []byte(outputs["result"].SecretValue().Element.StringValue())
		hash := []byte(outputs["bcryptHash"].SecretValue().Element.StringValue())
		if err := bcrypt.CompareHashAndPassword(hash, result[:min(len(result), 72)]); len(result) != length || err != nil {
			t.Errorf("%d characters, %v", len(result), err)
		}
	}
}

func TestRandomUuidAndRandomId_EncodeTheirValues(t *testing.T) {
	id, outputs := create(t, uuidToken, nil)
	if _, err := uuid.Parse(id); err != nil || outputs["result"].StringValue() != id {
		t.Errorf("got %q, %v", id, err)
	}

	id, outputs = create(t, idToken, map[string]any{"byteLength": 8, "prefix": "p-"})
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != 8 {
		t.Fatalf("got %q, %v", id, err)
	}
	for name, want := range map[resource.PropertyKey]string{
		"b64Url": "p-" + id, "b64Std": "p-" + base64.StdEncoding.EncodeToString(raw),
		"hex": "p-" + hex.EncodeToString(raw), "dec": "p-" + new(big.Int).SetBytes(raw).String(),
	} {
		if got := outputs[name].StringValue(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestCheck_ReportsInvalidInputs(t *testing.T) {
	tests := []struct {
		name, token string
		inputs      map[string]any
		failures    int
	}{
		{"fine", stringToken, map[string]any{"length": 1}, 0},
		{"no length", stringToken, nil, 1},
		{"too short for its classes", stringToken, map[string]any{"length": 3, "minLower": 2, "minUpper": 2}, 1},
		{
			"no characters and no length",
			stringToken,
			map[string]any{"length": 0, "lower": false, "upper": false, "numeric": false, "special": false},
			2,
		},
		{"length is a string", stringToken, map[string]any{"length": "8"}, 1},
		{
			"unknown length",
			stringToken,
			map[string]any{"length": resource.Computed{Element: resource.NewStringProperty("")}},
			0,
		},
		{"no bytes", idToken, map[string]any{"byteLength": 0}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			news := bag(t, test.inputs)
			resp, err := (&random{}).Check(t.Context(), &pulumirpc.CheckRequest{Urn: urn(test.token), News: news})
			if err != nil {
				t.Fatal(err)
			}
			if len(resp.GetFailures()) != test.failures {
				t.Errorf("got %v, want %d", resp.GetFailures(), test.failures)
			}
			if resp.GetInputs() != news {
				t.Error("the inputs changed")
			}
		})
	}
}

func TestDiff_ReplacesOnAnyChange(t *testing.T) {
	tests := []struct {
		name       string
		olds, news map[string]any
		replaces   []string
	}{
		{"nothing", map[string]any{"length": 8}, map[string]any{"length": 8}, nil},
		{
			"a default spelled out",
			map[string]any{"length": 8},
			map[string]any{"length": 8, "special": true, "minLower": 0},
			nil,
		},
		{"length", map[string]any{"length": 8}, map[string]any{"length": 9}, []string{"length"}},
		{
			"keepers",
			map[string]any{"length": 8},
			map[string]any{"length": 8, "keepers": map[string]any{"a": "b"}},
			[]string{"keepers"},
		},
		{
			"number and numeric",
			map[string]any{"length": 8, "number": false},
			map[string]any{"length": 8, "numeric": false},
			nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := &pulumirpc.DiffRequest{Urn: urn(passwordToken), OldInputs: bag(t, test.olds), News: bag(t, test.news)}
			resp, err := (&random{}).Diff(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(resp.GetReplaces(), test.replaces) ||
				(resp.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME) != (test.replaces != nil) {
				t.Errorf("got %v, want %v", resp, test.replaces)
			}
		})
	}
}

func TestCreate_PreviewsUnknownValues(t *testing.T) {
	inputs := bag(t, map[string]any{"length": 8})
	req := &pulumirpc.CreateRequest{Urn: urn(passwordToken), Properties: inputs, Preview: true}
	resp, err := (&random{}).Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	outputs := unbag(t, resp.GetProperties())
	if result := outputs["result"]; resp.GetId() != "" || !result.ContainsUnknowns() || !result.ContainsSecrets() {
		t.Errorf("got %q %v", resp.GetId(), outputs)
	}
}

func TestRead_KeepsStateAndSecrets(t *testing.T) {
	inputs := bag(t, map[string]any{"length": 8})
	resp, err := (&random{}).Read(t.Context(), &pulumirpc.ReadRequest{
		Urn:        urn(passwordToken),
		Id:         "none",
		Inputs:     inputs,
		Properties: bag(t, map[string]any{"length": 8, "result": "abcdefgh"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	outputs := unbag(t, resp.GetProperties())
	if resp.GetId() != "none" || resp.GetInputs() != inputs || !outputs["result"].IsSecret() ||
		outputs["result"].SecretValue().Element.V != "abcdefgh" {
		t.Errorf("got %v", resp)
	}
}

func TestRead_ImportsValues(t *testing.T) {
	tests := []struct {
		token, given, id string
		inputs           map[string]any
	}{
		{stringToken, "abc", "abc", map[string]any{"length": 3.0}},
		{passwordToken, "abc", "none", map[string]any{"length": 3.0}},
		{uuidToken, "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", map[string]any{}},
		{idToken, "p-,gEtk2V_GVJQ", "gEtk2V_GVJQ", map[string]any{"byteLength": 8.0, "prefix": "p-"}},
	}
	for _, test := range tests {
		t.Run(test.token, func(t *testing.T) {
			resp, err := (&random{}).Read(t.Context(), &pulumirpc.ReadRequest{Urn: urn(test.token), Id: test.given})
			if err != nil {
				t.Fatal(err)
			}
			want := resource.NewPropertyMapFromMap(test.inputs)
			if resp.GetId() != test.id || !unbag(t, resp.GetInputs()).DeepEquals(want) {
				t.Errorf("got %q %v, want %q %v", resp.GetId(), resp.GetInputs(), test.id, want)
			}
			if secret := unbag(t, resp.GetProperties())["result"].IsSecret(); secret != (test.token == passwordToken) {
				t.Errorf("secret: got %v", secret)
			}
		})
	}
}

func TestCheck_NamesUnknownType(t *testing.T) {
	const token = "random:index/randomPet:RandomPet"
	_, err := (&random{}).Check(t.Context(), &pulumirpc.CheckRequest{Urn: urn(token)})
	if err == nil || !strings.Contains(err.Error(), "not implemented here: "+token) {
		t.Errorf("got %v", err)
	}
}

func TestGetSchema_DescribesAllKinds(t *testing.T) {
	got, err := (&random{}).GetSchema(t.Context(), &pulumirpc.GetSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	type property struct {
		Secret bool
	}
	var described struct {
		Name, Version string
		Resources     map[string]struct {
			Properties, InputProperties map[string]property
			RequiredInputs              []string
		}
	}
	if err := json.Unmarshal([]byte(got.GetSchema()), &described); err != nil {
		t.Fatal(err)
	}
	if described.Name != "random" || described.Version != Version || len(described.Resources) != len(kinds) {
		t.Errorf("got %s %s with %d resources", described.Name, described.Version, len(described.Resources))
	}
	for token, k := range kinds {
		resource, ok := described.Resources[token]
		if !ok {
			t.Errorf("%s is missing", token)
		}
		for name := range k.defaults {
			if _, ok := resource.InputProperties[string(name)]; !ok {
				t.Errorf("%s: input %s is missing", token, name)
			}
		}
		for _, name := range k.outputs {
			if output, ok := resource.Properties[name]; !ok || output.Secret != k.secret {
				t.Errorf("%s: output %s: exists: %v, secret: %v", token, name, ok, output.Secret)
			}
		}
		for name := range resource.InputProperties {
			if _, ok := resource.Properties[name]; !ok {
				t.Errorf("%s: input %s is not an output", token, name)
			}
		}
		var required []string
		if k.required != "" {
			required = []string{k.required}
		}
		if !slices.Equal(resource.RequiredInputs, required) {
			t.Errorf("%s requires %v", token, resource.RequiredInputs)
		}
	}
}

func TestUnknownTypes_AreNotedInPreview(t *testing.T) {
	const pet = "random:index/randomPet:RandomPet"
	check := func() error {
		_, err := (&random{}).Check(t.Context(), &pulumirpc.CheckRequest{Urn: urn(pet), News: bag(t, nil)})
		return err
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), pet) || !strings.Contains(err.Error(), uuidToken) {
		t.Errorf("Check: %v", err)
	}
	file := filepath.Join(t.TempDir(), "unknown")
	t.Setenv(unknowntypes.FileVariable, file)
	err := check()
	if err == nil {
		req := &pulumirpc.CreateRequest{Urn: urn(pet), Properties: bag(t, nil), Preview: true}
		_, err = (&random{}).Create(t.Context(), req)
	}
	if err != nil {
		t.Errorf("preview with %s: %v", unknowntypes.FileVariable, err)
	}
	if noted, err := unknowntypes.Read(file); err != nil || len(noted) != 1 || !strings.Contains(noted[0], pet) {
		t.Errorf("noted: %q, %v", noted, err)
	}
}
