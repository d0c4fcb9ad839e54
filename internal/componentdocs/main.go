// Componentdocs generates the reference of the components, docs/components.md, and the schema of the Pulumi package,
// provider/schema.json, from the doc comments, types and pulumi tags of the components' code.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	source := flag.String("source", ".", "directory of the components' package")
	out := flag.String("out", "", "file to write the reference to")
	schema := flag.String("schema", "", "file to write the schema to, beside the file VERSION")
	flag.Parse()
	if err := write(*source, *out, *schema); err != nil {
		fmt.Fprintln(os.Stderr, "componentdocs:", err)
		os.Exit(1)
	}
}

func write(source, out, schema string) error {
	page, err := generate(source)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, page, 0o644); err != nil {
		return err
	}
	return writeSchema(source, schema)
}
