package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Compile compiles the Pulumi program before the engine does. The engine's own build runs behind the proxy, from
// where no module can be had, and says nothing while it takes its time.
func Compile(ctx context.Context, h *home.Home, p *thirdparty.Progress) error {
	if Source(h) == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(h.Project))
	mark := filepath.Join(h.Cache, "compiled-"+hex.EncodeToString(sum[:6]))
	return thirdparty.Compile(ctx, Source(h), h.Program.Runtime.Options.BuildTarget, mark, p)
}

// Source returns the folder of the program that is to be compiled, or "" where there is nothing to compile.
func Source(h *home.Home) string {
	if h.Program.Runtime.Name != "go" || h.Program.Runtime.Options.Binary != "" {
		return ""
	}
	return programDir(h)
}

// programDir is the folder of the program: Pulumi.yaml may name a file in it.
func programDir(h *home.Home) string {
	dir := filepath.Join(h.Project, h.Program.Main)
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return filepath.Dir(dir)
	}
	return dir
}

// CheckProgram returns an error for what keeps the program from running that is known before the engine runs it: that
// there is none, which of its packages are not installed, or what its language lacks. What is wrong in it the engine says.
func CheckProgram(h *home.Home) error {
	runtime := h.Program.Runtime.Name
	host := thirdparty.LanguageHost(runtime)
	switch {
	case h.ProgramErr != nil:
		return h.ProgramErr
	case h.Program.Name == "":
		return fmt.Errorf("%s has no Pulumi.yaml: go to the folder of a Pulumi program, or name it with --project", h.Project)
	case host == "":
		return fmt.Errorf(
			"the runtime of %s is %s, which the local cloud cannot run: it runs programs in Go, YAML, TypeScript, JavaScript and Python",
			filepath.Join(h.Project, "Pulumi.yaml"),
			runtime,
		)
	}
	if err := checkPackages(h); err != nil {
		return err
	}
	if host == thirdparty.LanguageNodejs {
		return checkNode(programDir(h))
	}
	return nil
}

// checkNode returns an error where a program for Node finds no Node, or no SDK of Pulumi's in its folder or one above.
func checkNode(dir string) error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New(
			"node is not on PATH, which runs programs in TypeScript and JavaScript: install Node (https://nodejs.org)",
		)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "node_modules", "@pulumi", "pulumi")); err == nil {
			return nil
		}
		if at == filepath.Dir(at) {
			return fmt.Errorf(
				"%s has no node_modules with @pulumi/pulumi: run `npm install` there, or what else installs its packages",
				dir,
			)
		}
	}
}
