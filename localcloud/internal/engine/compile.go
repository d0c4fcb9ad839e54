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

// Compile compiles the Pulumi program before the engine does. The engine's own build runs behind the proxy, where it
// cannot download modules, and shows no progress.
func Compile(ctx context.Context, h *home.Home, p *thirdparty.Progress) error {
	if Source(h) == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(h.Project))
	mark := filepath.Join(h.Cache, "compiled-"+hex.EncodeToString(sum[:6]))
	return thirdparty.Compile(ctx, Source(h), h.Program.Runtime.Options.BuildTarget, mark, p)
}

// Source returns the folder of the program to compile, or "" if it need not be compiled.
func Source(h *home.Home) string {
	if h.Program.Runtime.Name != "go" || h.Program.Runtime.Options.Binary != "" {
		return ""
	}
	return programDir(h)
}

// programDir returns the program's folder. Pulumi.yaml may name a file in it.
func programDir(h *home.Home) string {
	dir := filepath.Join(h.Project, h.Program.Main)
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return filepath.Dir(dir)
	}
	return dir
}

// CheckProgram returns an error if the engine could not run the program: there is none, one of its packages is not
// installed, or the program's language lacks something. Mistakes in the program are left to the engine.
func CheckProgram(h *home.Home) error {
	runtime := h.Program.Runtime.Name
	host := thirdparty.LanguageHost(runtime)
	switch {
	case h.ProgramErr != nil:
		return h.ProgramErr
	case h.Program.Name == "":
		return fmt.Errorf("%s has no Pulumi.yaml: change to the folder of a Pulumi program or name it with --project",
			h.Project)
	case host == "":
		return fmt.Errorf("the runtime in %s is %s, which the local cloud does not support: it runs programs in Go, YAML, "+
			"TypeScript, JavaScript and Python", filepath.Join(h.Project, "Pulumi.yaml"), runtime)
	}
	if err := checkPackages(h); err != nil {
		return err
	}
	if host == thirdparty.LanguageNodejs {
		return checkNode(programDir(h))
	}
	return nil
}

// checkNode returns an error if Node is missing, or Pulumi's SDK for it in the program's folder and those above.
func checkNode(dir string) error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("node is not on PATH, but programs in TypeScript and JavaScript need it: install Node.js " +
			"(https://nodejs.org)")
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "node_modules", "@pulumi", "pulumi")); err == nil {
			return nil
		}
		if at == filepath.Dir(at) {
			return fmt.Errorf("%s has no node_modules with @pulumi/pulumi: run `npm install` there, or your package manager's "+
				"equivalent", dir)
		}
	}
}
