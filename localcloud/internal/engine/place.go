package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// placeKubernetesPlugin installs a script that runs the plugin with a TMPDIR in the home. The plugin writes kubeconfigs
// with an administrator's key to the folder for temporary files and leaves them there, whichever engine runs it.
func placeKubernetesPlugin(h *home.Home, program string) error {
	if _, err := os.Stat(program); err != nil {
		return err
	}
	place := h.Path(home.PulumiDir, "plugins", "resource-kubernetes-v"+thirdparty.KubernetesPluginVersion,
		thirdparty.KubernetesPlugin)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	return placeScript(place, "TMPDIR="+quoted(h.Path(home.TempDir)), program)
}

// placePrograms puts the language hosts beside the engine, which looks for them in its own folder. Scripts run pulumi
// and kubelogin, so that they keep temporary files and tokens in the home instead of the user's folders.
func placePrograms(h *home.Home, have home.Setup) error {
	engine := h.Path(home.EngineDir, thirdparty.Pulumi)
	if err := errors.Join(os.MkdirAll(h.BinDir(), 0o755), os.MkdirAll(filepath.Dir(engine), 0o755)); err != nil {
		return err
	}
	tmp, cache := "TMPDIR="+quoted(h.Path(home.TempDir)), "XDG_CACHE_HOME="+quoted(h.Path(home.CacheDir))
	err := errors.Join(
		placeScript(filepath.Join(h.BinDir(), thirdparty.Pulumi), tmp, engine),
		placeLater(h, thirdparty.Kubelogin, cache, have.Programs[thirdparty.Kubelogin]),
		placeLater(h, thirdparty.Kubectl, "", have.Programs[thirdparty.Kubectl]),
	)
	if err != nil {
		return err
	}
	for _, name := range []string{
		thirdparty.Pulumi, thirdparty.LanguageGo, thirdparty.LanguageNodejs, thirdparty.LanguagePython,
		thirdparty.LanguageYAML,
	} {
		program := have.Programs[name]
		if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) && thirdparty.IsLater(name) {
			if err := placeHost(h, name, program); err != nil {
				return err
			}
			continue
		}
		if err := placeProgram(program, filepath.Join(filepath.Dir(engine), name)); err != nil {
			return err
		}
		if _, err := os.Stat(program + "-exec"); err == nil { // Python's host looks for it in its own folder
			if err := placeProgram(program+"-exec", filepath.Join(filepath.Dir(engine), name+"-exec")); err != nil {
				return err
			}
		}
	}
	return nil
}

// placeProgram puts a hard link to a program, or else a copy, at place, unless it is already there.
func placeProgram(program, place string) error {
	was, err := os.Stat(program)
	if err != nil {
		return err
	}
	if now, err := os.Stat(place); err == nil {
		isCopy := now.ModTime().Equal(was.ModTime()) && now.Size() == was.Size()
		if isCopy || os.SameFile(was, now) {
			return nil
		}
	}
	_ = os.Remove(place)
	if os.Link(program, place) == nil {
		return nil
	}
	content, err := os.ReadFile(program) // os.Link fails across file systems
	if err != nil {
		return err
	}
	if err := os.WriteFile(place, content, 0o755); err != nil {
		return err
	}
	return os.Chtimes(place, was.ModTime(), was.ModTime())
}

// placeLater installs a script that runs a program and first builds or downloads it if necessary.
func placeLater(h *home.Home, name, variable, program string) error {
	get, err := getLater(h, name, program)
	if err != nil {
		return err
	}
	return placeFile(filepath.Join(h.BinDir(), name), get+strings.TrimSpace(variable+` exec "$program"`)+" \"$@\"\n")
}

// getLater returns the beginning of a script that sets $program to a program's path, and builds or downloads the
// program if it is missing.
func getLater(h *home.Home, name, program string) (string, error) {
	exe, err := os.Executable()
	return fmt.Sprintf("#!/bin/sh\nprogram=%s\n"+
		"[ -x \"$program\" ] || program=$(%s programs build %s --path --project %s --home %s) || exit\n",
		quoted(program), quoted(exe), name, quoted(h.Project), quoted(h.Dir)), err
}

// placeHost installs a script that builds or downloads a language host when a program in its language first runs. The
// host then replaces the script, together with the files beside it, since a host looks for others in its own folder.
func placeHost(h *home.Home, name, program string) error {
	get, err := getLater(h, name, program)
	if err != nil {
		return err
	}
	const move = `for file in "$program"*; do
	place=${0%/*}/${file##*/}
	ln -f "$file" "$place.$$" 2>/dev/null || cp -p "$file" "$place.$$" || exit
	mv -f "$place.$$" "$place" || exit
done
exec "$0" "$@"
`
	return placeFile(h.Path(home.EngineDir, name), get+move)
}

// placeScript installs a script that runs a program with a variable set.
func placeScript(place, variable, program string) error {
	return placeFile(place, fmt.Sprintf("#!/bin/sh\n%s exec %s \"$@\"\n", variable, quoted(program)))
}

func placeFile(place, script string) error {
	if now, err := os.ReadFile(place); err == nil && string(now) == script {
		return nil
	}
	// Write a new file and rename it: a shell may be running the old one.
	if err := os.WriteFile(place+".part", []byte(script), 0o755); err != nil {
		return err
	}
	return os.Rename(place+".part", place)
}
