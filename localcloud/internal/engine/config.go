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

// configuration returns a stack's configuration file for the engine: the contents of the user's file, overridden by the
// values of --config, and the salt of the stack's secrets. A key without a namespace is in the project's. The result is
// JSON, which the engine accepts in place of YAML: from YAML it loses line breaks at the beginning of a value.
func configuration(project, file string, content []byte, over []string, salt string) ([]byte, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff")) // as the engine does
	config := map[string]any{}
	if err := readYAML(content, &config); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	for _, of := range []string{"secretsprovider", "encryptedkey", "encryptionsalt"} { // belong to the user's own backend
		delete(config, of)
	}
	values, ok := config["config"].(map[string]any)
	if !ok && config["config"] != nil {
		return nil, fmt.Errorf("reading %s: config is not a map", file)
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
		case int, int64, uint64, float64, bool: // text, as in the engine: it would read numbers in JSON as float64
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

// GivenConfiguration returns the user's configuration file of a stack and its contents. It returns an error if the
// contents or the values of --config are not valid.
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
			return "", nil, fmt.Errorf("there is no stack %q; the configured stacks are %s", name, strings.Join(have, ", "))
		}
		content = nil // the program's stacks have no configuration
	}
	_, err = configuration(h.Program.ProjectName(), file, content, over, "")
	return file, content, err
}

// givenFile returns the file of a stack's configuration in the project.
func givenFile(h *home.Home, stack string) string {
	return filepath.Join(h.Project, h.Program.StackConfigDir, "Pulumi."+stack+".yaml")
}

// Configured returns the value of a key of the program from --config or the stack's file, or nil. It ignores mistakes,
// which GivenConfiguration reports.
func Configured(h *home.Home, stack string, over []string, key string) any {
	file, project := givenFile(h, stack), h.Program.ProjectName()
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var read struct{ Config map[string]any }
	content, err = configuration(project, file, content, over, "")
	if err != nil || json.Unmarshal(content, &read) != nil {
		return nil
	}
	return read.Config[project+":"+key]
}

// override sets configuration values, which are written as YAML.
func override(project string, values map[string]any, over []string) error {
	for _, one := range over {
		key, text, ok := strings.Cut(one, "=")
		if !ok || key == "" {
			return fmt.Errorf("--config %s: it must have the form key=value", key)
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

// keepDates turns dates into text, as `pulumi config set` does. The engine would write a YAML date as
// "2026-02-01 00:00:00 +0000 UTC".
func keepDates(node *yaml.Node) {
	if node.ShortTag() == "!!timestamp" {
		node.Tag = "!!str"
	}
	for _, of := range node.Content {
		keepDates(of)
	}
}

// asJSON converts a YAML value as the engine does.
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

// readYAML reads exactly one document. It reports the line of characters that the YAML package rejects without a
// position, and also rejects those that the package drops, since it takes them for line breaks or byte order marks.
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
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) { // the document may be empty
		return err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one document")
	}
	return nil
}
