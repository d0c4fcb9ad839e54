// Command pulumi-resource-kubernetes is Pulumi's Kubernetes provider as it is, but for one thing: it reads its schema from
// the files beside it. Upstream's own main embeds copies that are generated when it is released and are not in the module.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

func main() {
	program, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(program), name))
		if err != nil {
			log.Fatal(err)
		}
		return content
	}
	provider.Serve("kubernetes", version.Version, read("schema.json"), read("terraform-mapping.json"))
}
