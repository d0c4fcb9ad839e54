package engine

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// userPlugins creates a folder of the user's pulumi with these plugins, each with a file beside the program.
func userPlugins(t *testing.T, installed ...pluginOf) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("PULUMI_HOME", home)
	t.Setenv(thirdparty.HomeVariable, "")
	for _, p := range installed {
		dir := filepath.Join(home, "plugins", p.dir())
		writeFile(t, filepath.Join(dir, p.program()), "the real "+p.String(), 0o755)
		writeFile(t, filepath.Join(dir, "schemas", "schema.json"), "{}", 0o644)
	}
	return home
}

func writeFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
		t.Fatal(err)
	}
}

// tree returns everything below a folder: files with their contents and links with their targets.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			found[name] = "-> " + target
			return err
		case entry.IsDir():
			found[name] = "folder"
			return nil
		}
		content, err := os.ReadFile(path)
		found[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRealPlugin_MustBeCompleteAndOfTheVersion(t *testing.T) {
	want := plugins[0]
	older := pluginOf{want.name, "2.91.0"}
	for name, of := range map[string]struct {
		installed []pluginOf
		change    func(dir string) error
		want      error
		say       string
	}{
		"installed":       {installed: []pluginOf{want, older}},
		"nothing":         {want: errNotInstalled, say: "pulumi plugin install resource azure-native 2.92.0 --exact"},
		"another version": {installed: []pluginOf{older}, want: errNotInstalled, say: "2.91.0"},
		"only begun": {
			change: func(dir string) error {
				return errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.WriteFile(dir+".partial", nil, 0o600))
			},
			want: errHalfInstalled, say: "--reinstall",
		},
		"not ended": {
			installed: []pluginOf{want},
			change:    func(dir string) error { return os.WriteFile(dir+".partial", nil, 0o600) },
			want:      errHalfInstalled, say: "--reinstall",
		},
		"no program": {
			installed: []pluginOf{want},
			change:    func(dir string) error { return os.Remove(filepath.Join(dir, want.program())) },
			want:      errHalfInstalled, say: "pulumi plugin install resource azure-native 2.92.0 --reinstall",
		},
		"not executable": {
			installed: []pluginOf{want},
			change:    func(dir string) error { return os.Chmod(filepath.Join(dir, want.program()), 0o644) },
			want:      errHalfInstalled, say: "--reinstall",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(userPlugins(t, of.installed...), "plugins", want.dir())
			if of.change != nil {
				if err := of.change(dir); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir) // the engine would use any version from PATH
			got, err := realPlugin(want)
			switch {
			case of.want == nil && (err != nil || got != dir):
				t.Errorf("got %s, %v; want %s", got, err, dir)
			case of.want != nil && (!errors.Is(err, of.want) || !strings.Contains(err.Error(), of.say)):
				t.Errorf("got %v; want %v, with %q", err, of.want, of.say)
			}
		})
	}
}

// TestUserPulumiHome_IgnoresTheLocalClouds runs in the environment of a local cloud.
func TestUserPulumiHome_IgnoresTheLocalClouds(t *testing.T) {
	cloud := t.TempDir()
	t.Setenv(thirdparty.HomeVariable, cloud)
	t.Setenv("PULUMI_HOME", filepath.Join(cloud, home.PulumiDir))
	if home, err := userPulumiHome(); err != nil || filepath.Base(home) != ".pulumi" {
		t.Errorf("got %s, %v; want the user's", home, err)
	}
	theirs := t.TempDir()
	t.Setenv("PULUMI_HOME", theirs)
	if home, err := userPulumiHome(); err != nil || home != theirs {
		t.Errorf("got %s, %v; want %s", home, err, theirs)
	}
}

func TestChoosePlugins_FollowsFlagsAndInstalledPlugins(t *testing.T) {
	v2, v3, random := plugins[0], plugins[1], plugins[2]
	fails := func(_, _ string) (string, error) { return "", errors.New("nobody there") }
	downloads := func(name, version string) (string, error) {
		return filepath.Join("/downloaded", pluginOf{name, version}.dir()), nil
	}
	for name, of := range map[string]struct {
		installed     []pluginOf
		asked         PluginKind
		needsVersion3 bool
		had           bool // the local cloud had real plugins, installed elsewhere
		want          []pluginOf
		wantErr       string
		download      func(name, version string) (string, error)
	}{
		"not asked":         {installed: plugins},
		"real":              {installed: plugins, asked: RealPlugins, want: plugins},
		"stand-in":          {installed: plugins, asked: StandInPlugins, had: true},
		"kept":              {had: true, want: plugins},
		"without version 3": {installed: []pluginOf{v2, random}, asked: RealPlugins, want: []pluginOf{v2, random}},
		"version 3 missing": {
			installed: []pluginOf{v2, random}, asked: RealPlugins, needsVersion3: true, wantErr: "3.28.0",
		},
		"random missing":         {installed: []pluginOf{v2, v3}, asked: RealPlugins, wantErr: "resource random 4.21.2"},
		"nothing to ask or have": {},
		"downloaded": {
			installed: []pluginOf{random}, asked: RealPlugins, download: downloads, want: []pluginOf{v2, random},
		},
		"all downloaded":        {needsVersion3: true, asked: RealPlugins, download: downloads, want: plugins},
		"not asked to download": {download: downloads},
		"no download":           {asked: RealPlugins, wantErr: "nobody there", download: fails},
	} {
		t.Run(name, func(t *testing.T) {
			h := &home.Home{Dir: t.TempDir()}
			if of.had {
				elsewhere := userPlugins(t, plugins...)
				had := map[string]string{}
				for _, p := range plugins {
					had[p.dir()] = filepath.Join(elsewhere, "plugins", p.dir())
				}
				if err := h.SaveSetup(home.Setup{RealPlugins: had}); err != nil {
					t.Fatal(err)
				}
			}
			userPlugins(t, of.installed...)
			before := tree(t, h.Dir)
			real, err := ChoosePlugins(h, of.asked, of.needsVersion3, of.download, t.Logf)
			if of.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), of.wantErr) {
					t.Errorf("got %v, want it to name %q", err, of.wantErr)
				}
			} else if err != nil {
				t.Error(err)
			}
			var want []string
			for _, p := range of.want {
				want = append(want, p.dir())
			}
			if got := slices.Sorted(maps.Keys(real)); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if after := tree(t, h.Dir); !maps.Equal(before, after) {
				t.Errorf("the home was %v and is %v", before, after)
			}
		})
	}
}

// TestChoosePlugins_ReportsUninstalledPlugins has a local cloud whose real plugins have been removed.
func TestChoosePlugins_ReportsUninstalledPlugins(t *testing.T) {
	userPlugins(t)
	h := &home.Home{Dir: t.TempDir()}
	gone := map[string]string{plugins[0].dir(): filepath.Join(t.TempDir(), "gone")}
	if err := h.SaveSetup(home.Setup{RealPlugins: gone}); err != nil {
		t.Fatal(err)
	}
	if real, err := ChoosePlugins(h, "", false, nil, t.Logf); !errors.Is(err, errNotInstalled) {
		t.Errorf("got %v, %v", real, err)
	}
	if err := linkPlugins(h, t.TempDir(), gone); !errors.Is(err, errNotInstalled) {
		t.Errorf("linked with %v", err)
	}
}

// TestLinkPlugins_LeavesTheUsersPlugins changes from stand-ins to real plugins and back, with leftovers in the way.
func TestLinkPlugins_LeavesTheUsersPlugins(t *testing.T) {
	standIns := t.TempDir()
	writeFile(t, filepath.Join(standIns, "localcloud"), "ours", 0o755)
	theirs := userPlugins(t, plugins...)
	real := map[string]string{}
	for _, p := range plugins {
		real[p.dir()] = filepath.Join(theirs, "plugins", p.dir())
	}
	without3 := maps.Clone(real)
	delete(without3, plugins[1].dir())
	before, oursBefore := tree(t, theirs), tree(t, standIns)
	h := &home.Home{Dir: t.TempDir()}
	placed := h.Path(home.PulumiDir, "plugins")
	read := func(p pluginOf, file string) string {
		content, _ := os.ReadFile(filepath.Join(placed, p.dir(), file))
		return string(content)
	}
	check := func(name string, use map[string]string) {
		t.Helper()
		if err := linkPlugins(h, filepath.Join(standIns, "localcloud"), use); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range plugins {
			program, beside := "ours", ""
			if len(use) > 0 {
				program, beside = "the real "+p.String(), "{}"
			}
			if len(use) > 0 && use[p.dir()] == "" {
				program, beside = "", ""
			}
			if got := read(p, p.program()); got != program {
				t.Errorf("%s: the engine runs %q as %v, want %q", name, got, p, program)
			}
			if got := read(p, "schemas/schema.json"); got != beside {
				t.Errorf("%s: beside %v is %q, want %q", name, p, got, beside)
			}
		}
		entries, err := os.ReadDir(placed)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if !entry.IsDir() {
				t.Errorf("%s: %s is not a folder, so the engine ignores it", name, entry.Name())
			}
		}
		if after := tree(t, theirs); !maps.Equal(before, after) {
			t.Errorf("%s: the user's plugins were %v and are %v", name, before, after)
		}
		if after := tree(t, standIns); !maps.Equal(oursBefore, after) {
			t.Errorf("%s: the stand-ins were %v and are %v", name, oursBefore, after)
		}
	}
	check("at first", nil)
	check("real", real)
	check("real again", real)
	check("without version 3", without3)
	check("back", nil)
	folder := filepath.Join(placed, plugins[0].dir())
	if err := errors.Join(os.RemoveAll(folder), os.Symlink(real[plugins[0].dir()], folder)); err != nil {
		t.Fatal(err)
	}
	check("a link in place of a folder", nil)
	writeFile(t, filepath.Join(placed, plugins[2].dir(), "left", "over"), "here", 0o644)
	check("something left over", real)
}

// TestLinkOthers_FollowsTheUsersPlugins has plugins as programs and from source. Those in the home must stay.
func TestLinkOthers_FollowsTheUsersPlugins(t *testing.T) {
	theirs := userPlugins(t, pluginOf{"keyvaultaks", "0.1.0"}, pluginOf{"partial", "1.0.0"},
		pluginOf{"kubernetes", "1.0.0"}, pluginOf{"random", "1.0.0"}, pluginOf{"here", "1.0.0"})
	installed := filepath.Join(theirs, "plugins", "resource-keyvaultaks-v0.1.0")
	const source = "resource-github.com_owner_name.git_provider-v1.0.0" // of git://github.com/owner/name/provider
	writeFile(t, filepath.Join(theirs, "plugins", source, "provider", "PulumiPlugin.yaml"), "runtime: go\n", 0o644)
	partial := filepath.Join(theirs, "plugins", "resource-partial-v1.0.0.partial")
	writeFile(t, partial, "", 0o644)
	writeFile(t, installed+".lock", "", 0o644) // as pulumi leaves it
	h := &home.Home{Dir: t.TempDir()}
	placed := h.Path(home.PulumiDir, "plugins")
	writeFile(t, filepath.Join(placed, "resource-here-v1.0.0", "pulumi-resource-here"), "installed in the home", 0o755)
	if err := os.MkdirAll(filepath.Join(placed, source), 0o755); err != nil { // of a run that was killed
		t.Fatal(err)
	}
	link := func(what string, want map[string]string) {
		t.Helper()
		before := tree(t, theirs)
		if err := LinkOthers(h); err != nil {
			t.Fatal(err)
		}
		have := map[string]string{}
		files, _ := filepath.Glob(filepath.Join(placed, "*", "*"))
		for _, file := range files {
			content, _ := os.ReadFile(file) // empty for a folder
			have[strings.TrimPrefix(file, placed+"/")] = string(content)
		}
		if !maps.Equal(have, want) {
			t.Errorf("%s: the engine has %v, want %v", what, have, want)
		}
		if after := tree(t, theirs); !maps.Equal(before, after) {
			t.Errorf("%s: the user's plugins were %v and are %v", what, before, after)
		}
	}
	want := map[string]string{
		"resource-here-v1.0.0/pulumi-resource-here":               "installed in the home",
		"resource-keyvaultaks-v0.1.0/pulumi-resource-keyvaultaks": "the real keyvaultaks 0.1.0",
		"resource-keyvaultaks-v0.1.0/schemas":                     "",
		source + "/provider":                                      "",
	}
	link("at first", want)
	link("again", want)
	if err := os.Rename(filepath.Join(installed, "schemas"), filepath.Join(installed, "another")); err != nil {
		t.Fatal(err)
	}
	delete(want, "resource-keyvaultaks-v0.1.0/schemas")
	want["resource-keyvaultaks-v0.1.0/another"] = ""
	link("reinstalled", want)
	if err := os.Rename(partial, installed+".partial"); err != nil {
		t.Fatal(err)
	}
	delete(want, "resource-keyvaultaks-v0.1.0/another")
	delete(want, "resource-keyvaultaks-v0.1.0/pulumi-resource-keyvaultaks")
	want["resource-partial-v1.0.0/pulumi-resource-partial"] = "the real partial 1.0.0"
	want["resource-partial-v1.0.0/schemas"] = ""
	link("the other one partial", want)
	if err := os.RemoveAll(filepath.Join(theirs, "plugins")); err != nil {
		t.Fatal(err)
	}
	link("uninstalled", map[string]string{"resource-here-v1.0.0/pulumi-resource-here": "installed in the home"})
}

func TestVariables_IgnorePluginsOnPath(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	if !slices.Contains(variables(h, &home.Running{}, "dev"), variable{"PULUMI_IGNORE_AMBIENT_PLUGINS", "true"}) {
		t.Error("PULUMI_IGNORE_AMBIENT_PLUGINS is not set")
	}
}
