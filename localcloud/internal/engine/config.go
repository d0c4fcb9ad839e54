package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// configuration is a stack's file for the engine: what a person's file has, with the values of --config over it and
// the salt of the stack's secrets. A key without a namespace is in the project's. The engine takes JSON, which has one
// way to write a text, where it takes YAML; of YAML it loses line ends at the beginning of a value.
func configuration(project, file string, content []byte, over []string, salt string) ([]byte, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff")) // as the engine does
	config := map[string]any{}
	if err := readYAML(content, &config); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	for _, of := range []string{"secretsprovider", "encryptedkey", "encryptionsalt"} { // those of the user's own backend
		delete(config, of)
	}
	values, ok := config["config"].(map[string]any)
	if !ok && config["config"] != nil {
		return nil, fmt.Errorf("reading %s: config is no map of keys and values", file)
	}
	if values == nil {
		values = map[string]any{}
	}
	if err := override(project, values, over); err != nil {
		return nil, err
	}
	for key, value := range values {
		values[key] = asJSON(value)
		switch value.(type) {
		case int, int64, uint64, float64, bool: // as the engine has them; through JSON it has numbers as float64
			text, err := json.Marshal(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			values[key] = string(text)
		}
	}
	config["config"], config["encryptionsalt"] = values, salt
	return json.MarshalIndent(config, "", "    ")
}

// GivenConfiguration returns the file of a stack's configuration and what is in it, or what is wrong with that or with
// what is set over it.
func GivenConfiguration(h *home.Home, name string, over []string) (file string, content []byte, err error) {
	file = givenFile(h, name)
	content, err = os.ReadFile(file)
	if err != nil {
		var have []string
		files, _ := filepath.Glob(givenFile(h, "*"))
		for _, f := range files {
			have = append(have, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "Pulumi."), ".yaml"))
		}
		if len(have) > 0 || !errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf(
				"there is no stack %q: the stacks with a configuration are %s",
				name,
				strings.Join(have, ", "),
			)
		}
		content = nil // a program whose stacks have no configuration
	}
	_, err = configuration(h.Program.ProjectName(), file, content, over, "")
	return file, content, err
}

// givenFile is that of a stack's configuration in the project.
func givenFile(h *home.Home, stack string) string {
	return filepath.Join(h.Project, h.Program.StackConfigDir, "Pulumi."+stack+".yaml")
}

// Configured returns what a stack's file or --config says of a key of the program, or nil. What is wrong with them is
// said when the stack takes them.
func Configured(h *home.Home, stack string, over []string, key string) any {
	file, project := givenFile(h, stack), h.Program.ProjectName()
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var read struct{ Config map[string]any }
	if content, err = configuration(
		project,
		file,
		content,
		over,
		"",
	); err != nil ||
		json.Unmarshal(content, &read) != nil {
		return nil
	}
	return read.Config[project+":"+key]
}

// override sets values of the program's configuration, each written as YAML.
func override(project string, values map[string]any, over []string) error {
	for _, one := range over {
		key, text, ok := strings.Cut(one, "=")
		if !ok || key == "" {
			return fmt.Errorf("--config %s: it is written key=value", key)
		}
		var node yaml.Node
		err := readYAML([]byte(text), &node)
		var value any
		if err == nil && !node.IsZero() {
			keepDates(&node)
			err = node.Decode(&value)
		}
		if err != nil {
			return fmt.Errorf("--config %s: %w", key, err)
		}
		if !strings.Contains(key, ":") {
			key = project + ":" + key
		}
		values[key] = value
	}
	return nil
}

// keepDates has what looks like a date be the text that it is, as `pulumi config set` has it. The engine writes a date
// of YAML as "2026-02-01 00:00:00 +0000 UTC".
func keepDates(node *yaml.Node) {
	if node.ShortTag() == "!!timestamp" {
		node.Tag = "!!str"
	}
	for _, of := range node.Content {
		keepDates(of)
	}
}

// asJSON is what the engine makes of a value of YAML.
func asJSON(value any) any {
	switch value := value.(type) {
	case time.Time:
		return value.String()
	case map[string]any:
		for key, of := range value {
			value[key] = asJSON(of)
		}
	case map[any]any:
		texts := map[string]any{}
		for key, of := range value {
			texts[fmt.Sprint(key)] = asJSON(of)
		}
		return texts
	case []any:
		for i, of := range value {
			value[i] = asJSON(of)
		}
	}
	return value
}

// readYAML reads a document and nothing after it. It refuses what YAML refuses without a word of where, and what it
// takes for the end of a line or the mark of an encoding, and leaves out.
func readYAML(content []byte, into any) error {
	for i := 0; i < len(content); {
		c, size := utf8.DecodeRune(content[i:])
		var what string
		switch {
		case c == utf8.RuneError && size == 1:
			what = "a byte that is not UTF-8"
		case c == '\t' || c == '\n' || c == '\r':
		case c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff:
			what = fmt.Sprintf(`%U: write it as "\u%04x", in double quotes`, c, c)
		}
		if what != "" {
			return fmt.Errorf("line %d has %s", 1+bytes.Count(content[:i], []byte("\n")), what)
		}
		i += size
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) { // nothing at all is no value
		return err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one document")
	}
	return nil
}
