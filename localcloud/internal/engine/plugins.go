package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
	random "github.com/keyvault-aks/keyvault-aks/localcloud/providers/random/plugin"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// PluginKind selects the plugins for azure-native and random that the engine runs.
type PluginKind string

const (
	// StandInPlugins selects the plugins of this module.
	StandInPlugins PluginKind = "stand-in"
	// RealPlugins selects Pulumi's own, as the user has installed them. They are untested against the local cloud.
	RealPlugins PluginKind = "real"
)

// pluginOf is a plugin that this module has a stand-in for, in a version that the engine asks for.
type pluginOf struct{ name, version string }

// plugins have the versions of the program's SDKs. Version3 is azure-native's parameterized package.
var plugins = []pluginOf{
	{"azure-native", plugin.Version2},
	{"azure-native", plugin.Version3},
	{"random", random.Version},
}

func (p pluginOf) String() string { return p.name + " " + p.version }

// dir returns the name of the plugin's folder, and program the name of the file in it, as the engine expects them.
func (p pluginOf) dir() string     { return "resource-" + p.name + "-v" + p.version }
func (p pluginOf) program() string { return "pulumi-resource-" + p.name }

var (
	errNotInstalled  = errors.New("is not installed")
	errHalfInstalled = errors.New("is only partially installed")
)

// realPlugin returns the folder of a plugin that the user's own pulumi has installed. Its errors are errNotInstalled or
// errHalfInstalled, with the command that installs the plugin. A plugin on PATH does not count: the engine would use it
// whatever its version.
func realPlugin(p pluginOf) (string, error) {
	home, err := userPulumiHome()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(home, "plugins", p.dir())
	return dir, p.check(dir)
}

// userPulumiHome returns the folder of the user's own pulumi. It ignores a PULUMI_HOME that belongs to a local cloud,
// whose environment the shell may have: its plugins are only links.
func userPulumiHome() (string, error) {
	dir := os.Getenv("PULUMI_HOME")
	if of := os.Getenv(thirdparty.HomeVariable); of != "" && dir == filepath.Join(of, home.PulumiDir) {
		dir = ""
	}
	if dir != "" {
		return filepath.Abs(dir)
	}
	who, err := user.Current() // like pulumi, which ignores HOME
	if err != nil {
		return "", fmt.Errorf("finding the folder of the user's own pulumi: %w", err)
	}
	return filepath.Join(who.HomeDir, ".pulumi"), nil
}

// check returns an error unless the plugin is completely installed in dir. Pulumi marks an incomplete plugin with a
// file beside its folder.
func (p pluginOf) check(dir string) error {
	if _, err := os.Stat(dir + ".partial"); err == nil {
		return p.missing(dir, fmt.Errorf("%w (%s.partial)", errHalfInstalled, p.dir()))
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return p.missing(dir, errNotInstalled)
	}
	switch info, err := os.Stat(filepath.Join(dir, p.program())); {
	case err != nil:
		return p.missing(dir, fmt.Errorf("%w (%w)", errHalfInstalled, err))
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return p.missing(dir, fmt.Errorf("%w (%s is not a program, %v)", errHalfInstalled, p.program(), info.Mode()))
	}
	return nil
}

// missing returns an error that says why a plugin cannot be used, which versions are installed and what to do.
func (p pluginOf) missing(dir string, why error) error {
	found, _ := os.ReadDir(filepath.Dir(dir))
	var others []string
	for _, one := range found {
		version, ok := strings.CutPrefix(one.Name(), pluginOf{name: p.name}.dir())
		if ok && one.IsDir() && version != p.version {
			others = append(others, version)
		}
	}
	also, how := "", "--exact"
	if len(others) > 0 {
		also = ", which has the versions " + strings.Join(others, ", ")
	}
	if errors.Is(why, errHalfInstalled) { // otherwise pulumi accepts any folder as an installed plugin
		how = "--reinstall"
	}
	return fmt.Errorf("the plugin %v %w in %s%s: install it with `pulumi plugin install resource %s %s %s`%s",
		p, why, filepath.Dir(dir), also, p.name, p.version, how, outsideShell())
}

// outsideShell tells the user to run a command of their own pulumi in another shell, if this shell has the environment
// of a local cloud.
func outsideShell() string {
	if os.Getenv(thirdparty.HomeVariable) == "" {
		return ""
	}
	return " in a shell without the local cloud's environment"
}

// ChoosePlugins returns the folders of the real plugins by name, or none if the engine should run stand-ins. The kind
// is asked, or else the one that the local cloud had before, or else stand-ins. If download is not nil, it gets missing
// plugins. Only a stack with vaultApiVersion 2026-02-01 needs azure-native v3: for others it may be missing, and then
// no stand-in replaces it.
func ChoosePlugins(
	h *home.Home, asked PluginKind, needsVersion3 bool, download func(name, version string) (dir string, err error),
	say func(format string, args ...any),
) (map[string]string, error) {
	before, _ := h.Setup() // the choice of the node reports a lost setup
	because := "as requested"
	if asked == "" && len(before.RealPlugins) > 0 {
		asked, because = RealPlugins, "as before (to change it, use --plugins=stand-in)"
	}
	real := map[string]string{}
	var missing, unneeded error
	for _, p := range plugins {
		dir, err := realPlugin(p)
		if kept := before.RealPlugins[p.dir()]; err != nil && kept != "" && p.check(kept) == nil {
			dir, err = kept, nil // from another PULUMI_HOME, or downloaded
		}
		if err != nil && asked == RealPlugins && download != nil && (p.version != plugin.Version3 || needsVersion3) {
			if dir, err = download(p.name, p.version); err != nil {
				return nil, err
			}
		}
		switch {
		case err == nil:
			real[p.dir()] = dir
		case p.version == plugin.Version3 && !needsVersion3:
			unneeded = err
		default:
			missing = errors.Join(missing, err)
		}
	}
	switch {
	case asked == RealPlugins && missing != nil:
		return nil, fmt.Errorf("%w\n--releases downloads missing plugins; --plugins=stand-in needs none", missing)
	case asked == RealPlugins:
		say("plugins: real, %s: %s", because, DescribePlugins(real))
		if unneeded != nil {
			say("plugins: a stack with vaultApiVersion 2026-02-01 needs one more: %v", unneeded)
		}
		return real, nil
	case missing == nil:
		say("plugins: stand-ins for azure-native and random; --plugins=real runs the real ones, which are installed")
	}
	return nil, nil
}

// DescribePlugins lists real plugins and their folders.
func DescribePlugins(real map[string]string) string {
	var words []string
	for _, p := range plugins {
		if dir := real[p.dir()]; dir != "" {
			words = append(words, fmt.Sprintf("%v in %s", p, dir))
		}
	}
	return strings.Join(words, ", ")
}

// linkPlugins creates the folders of the engine's plugins, with links to the program of all stand-ins or to the
// contents of the real plugins' folders. The folders themselves are not links, since the engine would not follow these.
func linkPlugins(h *home.Home, standIn string, real map[string]string) error {
	for _, p := range plugins {
		links := map[string]string{}
		if from := real[p.dir()]; from != "" {
			if err := p.check(from); err != nil {
				return err
			}
			entries, err := os.ReadDir(from)
			if err != nil {
				return err
			}
			for _, entry := range entries {
				links[entry.Name()] = filepath.Join(from, entry.Name())
			}
		} else if len(real) == 0 {
			links[p.program()] = standIn
		}
		if err := placeLinks(h.Path(home.PulumiDir, "plugins", p.dir()), links); err != nil {
			return err
		}
	}
	return nil
}

// LinkOthers links the other plugins that the user's own pulumi has installed, such as this repository's components, as
// programs or from source. It does not replace plugins in the home, but removes links to plugins that are gone or only
// partially installed.
func LinkOthers(h *home.Home) error {
	user, err := userPulumiHome()
	if err != nil {
		return err
	}
	into := h.Path(home.PulumiDir, "plugins")
	placed, err := filepath.Glob(filepath.Join(into, "resource-*-v*"))
	if err != nil {
		return err
	}
	for _, folder := range placed {
		if from, _ := linkedFrom(folder); from != "" && !installed(from) {
			if err := os.RemoveAll(folder); err != nil {
				return err
			}
		}
	}
	folders, err := filepath.Glob(filepath.Join(user, "plugins", "resource-*-v*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), "resource-"), "-v")
		place := filepath.Join(into, filepath.Base(folder))
		if _, ours := linkedFrom(place); ownPlugin(name) || !installed(folder) || !ours {
			continue
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		links := map[string]string{}
		for _, entry := range entries {
			links[entry.Name()] = filepath.Join(folder, entry.Name())
		}
		if err := placeLinks(place, links); err != nil {
			return err
		}
	}
	return nil
}

// checkPackages returns an error if the plugin of a package in Pulumi.yaml is not installed. It leaves plugins that do
// not come from the user's own pulumi, such as those with a path, to the engine.
func checkPackages(h *home.Home) error {
	user, err := userPulumiHome()
	if err != nil {
		return err
	}
	var missing error
	for _, name := range slices.Sorted(maps.Keys(h.Program.Packages)) {
		p := h.Program.Packages[name]
		placed := slices.Contains(h.Program.Plugins.Providers, home.Plugin{Name: p.Source})
		if placed || ownPlugin(p.Source) || !pluginName.MatchString(p.Source) {
			continue
		}
		folder := pluginOf{p.Source, cmp.Or(strings.TrimPrefix(p.Version, "v"), "*")}.dir()
		theirs, err := filepath.Glob(filepath.Join(user, "plugins", folder))
		here, _ := filepath.Glob(h.Path(home.PulumiDir, "plugins", folder))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(append(theirs, here...), installed) {
			continue
		}
		install := strings.TrimSpace("pulumi plugin install resource " + p.Source + " " + p.Version)
		if p.PluginDownloadURL != "" {
			install += " --server " + p.PluginDownloadURL
		}
		file, called := filepath.Join(h.Project, "Pulumi.yaml"), strings.TrimSpace(p.Source+" "+p.Version)
		missing = errors.Join(missing, fmt.Errorf("%s names the package %s, but its plugin is not in %s: install it with "+
			"`%s`%s", file, called, filepath.Join(user, "plugins"), install, outsideShell()))
	}
	return missing
}

// pluginName matches the name of a plugin, but not a path or URL.
var pluginName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// installed reports whether a folder is a plugin that pulumi has completely installed, by the engine's own criterion:
// it is not marked as partial.
func installed(folder string) bool {
	_, err := os.Stat(folder + ".partial")
	info, not := os.Stat(folder)
	return errors.Is(err, fs.ErrNotExist) && not == nil && info.IsDir()
}

// linkedFrom returns the folder that the links in a folder point to, and reports whether it contains only links.
func linkedFrom(folder string) (from string, alone bool) {
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		to, err := os.Readlink(filepath.Join(folder, entry.Name()))
		if err != nil {
			return "", false
		}
		from = filepath.Dir(to)
	}
	return from, true
}

// ownPlugin reports whether the local cloud has its own plugin of that name.
func ownPlugin(name string) bool {
	return name == "kubernetes" || slices.ContainsFunc(plugins, func(p pluginOf) bool { return p.name == name })
}

// placeLinks creates a folder with exactly these links, or removes it if there are none. It does not change the links'
// targets.
func placeLinks(folder string, links map[string]string) error {
	if len(links) == 0 {
		return os.RemoveAll(folder)
	}
	if info, err := os.Lstat(folder); err == nil && !info.IsDir() {
		if err := os.Remove(folder); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var there []string
	for _, entry := range entries {
		link := filepath.Join(folder, entry.Name())
		if now, err := os.Readlink(link); err == nil && now == links[entry.Name()] {
			there = append(there, entry.Name())
			continue
		}
		if err := os.RemoveAll(link); err != nil { // does not follow links
			return err
		}
	}
	for name, target := range links {
		if slices.Contains(there, name) {
			continue
		}
		err := os.Symlink(target, filepath.Join(folder, name))
		if err != nil && !errors.Is(err, fs.ErrExist) { // another command may have created it
			return err
		}
	}
	return nil
}
