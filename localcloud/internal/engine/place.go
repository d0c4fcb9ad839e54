package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// placeKubernetesPlugin puts a script in the plugin's place: the plugin writes kubeconfigs, with an administrator's key, into the folder
// for temporary files and leaves them there, whichever engine runs it.
func placeKubernetesPlugin(h *home.Home, program string) error {
	if _, err := os.Stat(program); err != nil {
		return err
	}
	place := h.Path(home.PulumiDir, "plugins", "resource-kubernetes-v"+thirdparty.KubernetesPluginVersion, thirdparty.KubernetesPlugin)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	return placeScript(place, "TMPDIR="+quoted(h.Path(home.TempDir)), program)
}

// placePrograms puts the engine and its language host side by side: the engine takes one from its own folder as its
// own. Pulumi and kubelogin are called through scripts that have them keep in the home what they would leave in the
// user's folders: temporary files, and tokens.
func placePrograms(h *home.Home, have home.Setup) error {
	engine := h.Path(home.EngineDir, thirdparty.Pulumi)
	if err := errors.Join(os.MkdirAll(h.BinDir(), 0o755), os.MkdirAll(filepath.Dir(engine), 0o755)); err != nil {
		return err
	}
	err := errors.Join(
		placeScript(filepath.Join(h.BinDir(), thirdparty.Pulumi), "TMPDIR="+quoted(h.Path(home.TempDir)), engine),
		placeLater(h, thirdparty.Kubelogin, "XDG_CACHE_HOME="+quoted(h.Path(home.CacheDir)), have.Programs[thirdparty.Kubelogin]),
		placeLater(h, thirdparty.Kubectl, "", have.Programs[thirdparty.Kubectl]),
	)
	if err != nil {
		return err
	}
	for name, place := range map[string]string{
		thirdparty.Pulumi: engine, thirdparty.LanguageGo: filepath.Join(filepath.Dir(engine), thirdparty.LanguageGo),
	} {
		program := have.Programs[name]
		was, err := os.Stat(program)
		if err != nil {
			return err
		}
		if now, err := os.Stat(place); err == nil && (os.SameFile(was, now) || now.ModTime().Equal(was.ModTime()) && now.Size() == was.Size()) {
			continue
		}
		_ = os.Remove(place)
		if os.Link(program, place) == nil {
			continue
		}
		content, err := os.ReadFile(program) // on another file system
		if err != nil {
			return err
		}
		if err := os.WriteFile(place, content, 0o755); err != nil {
			return err
		}
		if err := os.Chtimes(place, was.ModTime(), was.ModTime()); err != nil {
			return err
		}
	}
	return nil
}

// placeLater puts a script in the place of a program that is got when it is first run: where it would be built, or
// where its release is.
func placeLater(h *home.Home, name, variable, program string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	script := fmt.Sprintf("program=%s\n[ -x \"$program\" ] || program=$(%s programs build %s --path --project %s --home %s) || exit\n%s \"$@\"\n",
		quoted(program), quoted(exe), name, quoted(h.Project), quoted(h.Dir), strings.TrimSpace(variable+` exec "$program"`))
	return placeFile(filepath.Join(h.BinDir(), name), "#!/bin/sh\n"+script)
}

// placeScript puts a script in a place that runs another program with a variable set.
func placeScript(place, variable, program string) error {
	return placeFile(place, fmt.Sprintf("#!/bin/sh\n%s exec %s \"$@\"\n", variable, quoted(program)))
}

func placeFile(place, script string) error {
	if now, err := os.ReadFile(place); err == nil && string(now) == script {
		return nil
	}
	// Written anew and then named: one that runs is left alone.
	if err := os.WriteFile(place+".part", []byte(script), 0o755); err != nil {
		return err
	}
	return os.Rename(place+".part", place)
}
