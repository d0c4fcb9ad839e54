// Componentdocs writes the reference of the components, docs/components.md, from their code: doc comments, types and pulumi tags.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	source := flag.String("source", ".", "directory of the components' package")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := write(*source, *out); err != nil {
		fmt.Fprintln(os.Stderr, "componentdocs:", err)
		os.Exit(1)
	}
}

func write(source, out string) error {
	page, err := generate(source)
	if err != nil {
		return err
	}
	return os.WriteFile(out, page, 0o644)
}
