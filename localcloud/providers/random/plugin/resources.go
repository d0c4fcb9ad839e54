package plugin

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"crypto/rand"

	"github.com/google/uuid"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/bcrypt"
)

// kind is one resource type.
type kind struct {
	// defaults are the values of omitted inputs.
	defaults resource.PropertyMap
	// required is the only input without a default. Empty means that every input has one.
	required string
	// outputs are the names of the generated outputs. If secret is set, they are secrets.
	outputs []string
	secret  bool
	// meta is the schema version that the real plugin records in the state. Empty means none.
	meta string
	// validate returns the violations in inputs. All inputs are known and defaults are filled in.
	validate func(inputs resource.PropertyMap) []string
	// generate returns the ID and the outputs of a new resource.
	generate func(inputs resource.PropertyMap) (id string, outputs resource.PropertyMap, err error)
	// adopt returns the inputs and outputs of an existing value from the ID given to pulumi import.
	adopt func(importID string) (id string, inputs, outputs resource.PropertyMap, err error)
}

var characterDefaults = resource.PropertyMap{
	"lower":      resource.NewBoolProperty(true),
	"upper":      resource.NewBoolProperty(true),
	"numeric":    resource.NewBoolProperty(true),
	"special":    resource.NewBoolProperty(true),
	"minLower":   resource.NewNumberProperty(0),
	"minUpper":   resource.NewNumberProperty(0),
	"minNumeric": resource.NewNumberProperty(0),
	"minSpecial": resource.NewNumberProperty(0),
}

var kinds = map[string]kind{
	"random:index/randomString:RandomString": {
		defaults: characterDefaults, required: "length", outputs: []string{"result"}, meta: "2",
		validate: validateCharacters,
		generate: func(inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
			s, err := characters(inputs)
			return s, resource.PropertyMap{"result": resource.NewStringProperty(s)}, err
		},
		adopt: func(s string) (string, resource.PropertyMap, resource.PropertyMap, error) {
			return s, lengthOf(s), resource.PropertyMap{"result": resource.NewStringProperty(s)}, nil
		},
	},
	"random:index/randomPassword:RandomPassword": {
		defaults: characterDefaults,
		required: "length",
		outputs:  []string{"result", "bcryptHash"},
		secret:   true,
		meta:     "3",
		validate: validateCharacters,
		generate: func(inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
			s, err := characters(inputs)
			if err != nil {
				return "", nil, err
			}
			outputs, err := passwordOutputs(s)
			return "none", outputs, err
		},
		adopt: func(s string) (string, resource.PropertyMap, resource.PropertyMap, error) {
			outputs, err := passwordOutputs(s)
			return "none", lengthOf(s), outputs, err
		},
	},
	"random:index/randomUuid:RandomUuid": {
		outputs:  []string{"result"},
		validate: func(resource.PropertyMap) []string { return nil },
		generate: func(resource.PropertyMap) (string, resource.PropertyMap, error) {
			u, err := uuid.NewRandom()
			return u.String(), resource.PropertyMap{"result": resource.NewStringProperty(u.String())}, err
		},
		adopt: func(s string) (string, resource.PropertyMap, resource.PropertyMap, error) {
			u, err := uuid.Parse(s)
			return u.String(), resource.PropertyMap{}, resource.PropertyMap{
				"result": resource.NewStringProperty(u.String()),
			}, err
		},
	},
	"random:index/randomId:RandomId": {
		required: "byteLength", outputs: []string{"b64Std", "b64Url", "dec", "hex"},
		validate: func(inputs resource.PropertyMap) []string {
			if inputs["byteLength"].NumberValue() < 1 {
				return []string{"byteLength: want at least 1"}
			}
			return nil
		},
		generate: func(inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
			raw := make([]byte, int(inputs["byteLength"].NumberValue()))
			if _, err := rand.Read(raw); err != nil {
				return "", nil, fmt.Errorf("reading random bytes: %w", err)
			}
			prefix := ""
			if v := inputs["prefix"]; v.IsString() {
				prefix = v.StringValue()
			}
			id, outputs := encodings(raw, prefix)
			return id, outputs, nil
		},
		adopt: func(s string) (string, resource.PropertyMap, resource.PropertyMap, error) {
			inputs := resource.PropertyMap{}
			prefix := ""
			if i := strings.LastIndex(s, ","); i >= 0 {
				prefix, s = s[:i], s[i+1:]
				inputs["prefix"] = resource.NewStringProperty(prefix)
			}
			raw, err := base64.RawURLEncoding.DecodeString(s)
			if err != nil {
				return "", nil, nil, fmt.Errorf("reading %q as [prefix,]base64url: %w", s, err)
			}
			inputs["byteLength"] = resource.NewNumberProperty(float64(len(raw)))
			id, outputs := encodings(raw, prefix)
			return id, inputs, outputs, nil
		},
	},
}

func lengthOf(s string) resource.PropertyMap {
	return resource.PropertyMap{"length": resource.NewNumberProperty(float64(len(s)))}
}

func passwordOutputs(s string) (resource.PropertyMap, error) {
	b := []byte(s)
	hash, err := bcrypt.GenerateFromPassword(b[:min(len(b), 72)], bcrypt.DefaultCost) // bcrypt reads at most 72 bytes
	if err != nil {
		return nil, fmt.Errorf("hashing the password: %w", err)
	}
	return resource.PropertyMap{
		"result":     resource.NewStringProperty(s),
		"bcryptHash": resource.NewStringProperty(string(hash)),
	}, nil
}

func encodings(raw []byte, prefix string) (id string, outputs resource.PropertyMap) {
	id = base64.RawURLEncoding.EncodeToString(raw)
	return id, resource.PropertyMap{
		"b64Std": resource.NewStringProperty(prefix + base64.StdEncoding.EncodeToString(raw)),
		"b64Url": resource.NewStringProperty(prefix + id),
		"dec":    resource.NewStringProperty(prefix + new(big.Int).SetBytes(raw).String()),
		"hex":    resource.NewStringProperty(prefix + hex.EncodeToString(raw)),
	}
}
