// Command replay registers the resources of a recorded stack again: the same types, names, parents, providers, inputs
// and options, with this run's outputs wherever the recorded inputs had outputs of another resource. A test of upgrades
// can start from the stack of an earlier version without that version's code.
//
// To record a version's stack, bring it up in the local cloud and run this in the environment of `bin/localcloud env`:
//
//	pulumi stack export --show-secrets | go run ./replay record >../testdata/state-<version>-<stack>.json
//
// Secrets are not recorded. Times are replayed unchanged. Hooks are not replayed, because a state has only their names.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "record" {
		pulumi.Run(program)
		return
	}
	caller := caller{SubscriptionID: os.Getenv("ARM_SUBSCRIPTION_ID"), TenantID: os.Getenv("ARM_TENANT_ID")}
	if err := recordTo(os.Stdout, os.Stdin, caller); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

// recordTo reads an exported stack and writes its recording.
func recordTo(out io.Writer, in io.Reader, caller caller) error {
	var exported export
	if err := json.NewDecoder(in).Decode(&exported); err != nil {
		return fmt.Errorf("reading the exported stack: %w", err)
	}
	recorded, err := record(exported.Deployment.Resources, caller)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(recorded)
}
