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

// PluginKind is whose plugins for azure-native and random the engine runs.
type PluginKind string

const (
	// StandInPlugins are the programs of this module.
	StandInPlugins PluginKind = "stand-in"
	// RealPlugins are Pulumi's own, as the user has installed them. They are untested against the local cloud.
	RealPlugins PluginKind = "real"
)

// pluginOf is a provider that is a program of this module, in a version that the engine asks for.
type pluginOf struct{ name, version string }

// plugins have the versions of the program's SDK, and azure-native besides that of its parameterized package.
var plugins = []pluginOf{
	{"azure-native", plugin.Version2},
	{"azure-native", plugin.Version3},
	{"random", random.Version},
}

func (p pluginOf) String() string { return p.name + " " + p.version }

// dir is the plugin's folder in that of all plugins, and program the file in it, as the engine names them.
func (p pluginOf) dir() string     { return "resource-" + p.name + "-v" + p.version }
func (p pluginOf) program() string { return "pulumi-resource-" + p.name }

var (
	errNotInstalled  = errors.New("is not installed")
	errHalfInstalled = errors.New("is installed by half")
)

// realPlugin returns the folder of a plugin that the user has installed. Its errors are errNotInstalled or
// errHalfInstalled, with the command that installs it. It looks where the user's own pulumi installs plugins. One
// on PATH does not count: the engine would take it whatever its version is.
func realPlugin(p pluginOf) (string, error) {
	home, err := userPulumiHome()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(home, "plugins", p.dir())
	return dir, p.check(dir)
}

// userPulumiHome is the folder of the user's own pulumi. In a shell with the environment of a local cloud
// PULUMI_HOME is the local cloud's, which has links where plugins belong.
func userPulumiHome() (string, error) {
	dir := os.Getenv("PULUMI_HOME")
	if of := os.Getenv(thirdparty.HomeVariable); of != "" && dir == filepath.Join(of, home.PulumiDir) {
		dir = ""
	}
	if dir != "" {
		return filepath.Abs(dir)
	}
	who, err := user.Current() // as pulumi does, whatever HOME is
	if err != nil {
		return "", fmt.Errorf("finding the folder of the user's pulumi: %w", err)
	}
	return filepath.Join(who.HomeDir, ".pulumi"), nil
}

// check returns an error unless the plugin is whole in a folder. Pulumi marks one that is not with a file beside it.
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
		return p.missing(dir, fmt.Errorf("%w (%s is no program, %v)", errHalfInstalled, p.program(), info.Mode()))
	}
	return nil
}

// missing is why a plugin cannot be had, with what is there instead and what to do.
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
		also = ", where its versions are " + strings.Join(others, ", ")
	}
	if errors.Is(why, errHalfInstalled) { // without, any folder is enough for pulumi
		how = "--reinstall"
	}
	return fmt.Errorf("the plugin %v %w in %s%s: `pulumi plugin install resource %s %s %s`%s installs it",
		p, why, filepath.Dir(dir), also, p.name, p.version, how, outsideShell())
}

// outsideShell says where a command of the user's own pulumi is to run, if that is not here.
func outsideShell() string {
	if os.Getenv(thirdparty.HomeVariable) == "" {
		return ""
	}
	return ", in a shell without the local cloud's environment,"
}

// ChoosePlugins returns the folders of the real plugins, by their names, where the engine is to run those, and
// none where it is to run stand-ins: as asked for, else as this local cloud has had it, else stand-ins. The
// version of azure-native that only a stack with vaultApiVersion 2026-02-01 needs may be missing for others, and
// no stand-in takes its place.
//
// One that is missing is downloaded where there is a function for it.
func ChoosePlugins(
	h *home.Home, asked PluginKind, needsVersion3 bool, download func(name, version string) (dir string, err error),
	say func(format string, args ...any),
) (map[string]string, error) {
	before, _ := h.Setup() // whoever chooses the node says when it is lost
	because := "as asked for"
	if asked == "" && len(before.RealPlugins) > 0 {
		asked, because = RealPlugins, "as this local cloud has had them (--plugins=stand-in for the others)"
	}
	real := map[string]string{}
	var missing, unneeded error
	for _, p := range plugins {
		dir, err := realPlugin(p)
		if kept := before.RealPlugins[p.dir()]; err != nil && kept != "" && p.check(kept) == nil {
			dir, err = kept, nil // found with another PULUMI_HOME, or downloaded
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
		return nil, fmt.Errorf("%w\n--releases downloads what is not installed; --plugins=stand-in needs none", missing)
	case asked == RealPlugins:
		say("plugins: real, %s, %s", because, DescribePlugins(real))
		if unneeded != nil {
			say("plugins: a stack with vaultApiVersion 2026-02-01 would need another: %v", unneeded)
		}
		return real, nil
	case missing == nil:
		say("plugins: stand-ins for azure-native and random; the real ones are installed: --plugins=real runs them")
	}
	return nil, nil
}

// DescribePlugins names real plugins and where they are.
func DescribePlugins(real map[string]string) string {
	var words []string
	for _, p := range plugins {
		if dir := real[p.dir()]; dir != "" {
			words = append(words, fmt.Sprintf("%v in %s", p, dir))
		}
	}
	return strings.Join(words, ", ")
}

// linkPlugins gives the engine its plugins: links to the program that is all stand-ins, or to what is in the
// folders of the real ones. The folders that it makes are no links, which the engine would not follow.
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

// LinkOthers gives the engine what the user's own pulumi has installed besides: plugins of packages that the local cloud
// does not know, such as this repository's components, as programs and from source. What is in the home already stays,
// unless it leads to what is no longer there, or by half.
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

// checkPackages returns an error unless the plugins of all packages that Pulumi.yaml names are there. Those that it has
// from another place than the user's pulumi, such as a path, are the engine's to look for.
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
		missing = errors.Join(missing, fmt.Errorf("%s names the package %s, whose plugin is not in %s: `%s`%s installs it",
			file, called, filepath.Join(user, "plugins"), install, outsideShell()))
	}
	return missing
}

// pluginName matches what a plugin is called, and nothing that is a place.
var pluginName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// installed reports whether a folder is a plugin that pulumi has installed, in the way of the engine: it is not marked
// as begun. Beside it are files of the same name, such as that mark.
func installed(folder string) bool {
	_, err := os.Stat(folder + ".partial")
	info, not := os.Stat(folder)
	return errors.Is(err, fs.ErrNotExist) && not == nil && info.IsDir()
}

// linkedFrom returns the folder that what is in another one is linked from, and reports whether there is nothing else
// in it.
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

// ownPlugin reports whether the local cloud brings the plugin of that name itself.
func ownPlugin(name string) bool {
	return name == "kubernetes" || slices.ContainsFunc(plugins, func(p pluginOf) bool { return p.name == name })
}

// placeLinks makes a folder of links and nothing else, or for none no folder. What links lead to is left as it is.
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
		if err := os.RemoveAll(link); err != nil { // the link, not what it leads to
			return err
		}
	}
	for name, target := range links {
		if slices.Contains(there, name) {
			continue
		}
		err := os.Symlink(target, filepath.Join(folder, name))
		if err != nil && !errors.Is(err, fs.ErrExist) { // which another command has made meanwhile
			return err
		}
	}
	return nil
}
