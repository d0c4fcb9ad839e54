package thirdparty

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestCacheDir_DependsOnPins(t *testing.T) {
	source := t.TempDir()
	u := unit{name: "x", dir: "thirdparty/x"}
	pins := filepath.Join(source, u.dir, "go.mod")
	for _, dir := range []string{u.dir, standIns} {
		if err := os.MkdirAll(filepath.Join(source, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, content := range []string{"require a v1.0.0", "require a v1.0.1", "require a v1.0.0"} {
		if err := os.WriteFile(pins, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		dir, err := u.cacheDir(os.DirFS(source), "/cache")
		if err != nil {
			t.Fatal(err)
		}
		seen[dir] = true
	}
	u.ldflags = "-X a=b"
	dir, err := u.cacheDir(os.DirFS(source), "/cache")
	if err != nil {
		t.Fatal(err)
	}
	seen[dir] = true
	if len(seen) != 3 {
		t.Errorf("%d builds for two pins and a flag, want 3: %v", len(seen), seen)
	}
	for _, name := range []string{"used", "unused"} {
		if err := os.Mkdir(filepath.Join(source, standIns, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(pins, []byte("replace a => ../standin/used\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"", "unused", "used"} {
		if err := os.WriteFile(filepath.Join(source, standIns, name, "x.go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		now, err := u.cacheDir(os.DirFS(source), "/cache")
		if err != nil {
			t.Fatal(err)
		}
		if isOther := now != dir; i > 0 && isOther != (name == "used") {
			t.Errorf("after a change of the stand-in that is %s it is another build: %t", name, isOther)
		}
		dir = now
	}
}

func TestGoBinaryName_MatchesGo(t *testing.T) {
	for pkg, want := range map[string]string{
		"go.etcd.io/etcd/server/v3":     "server",
		"k8s.io/kubernetes/cmd/kubelet": "kubelet",
		"./pulumi-resource-kubernetes":  "pulumi-resource-kubernetes",
	} {
		if got := goBinaryName(pkg); got != want {
			t.Errorf("%s is named %s, want %s", pkg, got, want)
		}
	}
}

func TestBuild_RepairsCache(t *testing.T) {
	source, cache := t.TempDir(), t.TempDir()
	u := unit{name: "x", dir: "thirdparty/x", programs: map[string]string{"./one": "first", "./two": "second"}}
	const program = "package main\nfunc main() {}\n"
	for name, content := range map[string]string{"go.mod": "module x\n", "one/main.go": program, "two/main.go": program} {
		file := filepath.Join(source, u.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(cache, "x")
	for range 2 {
		if u.whole(dir) {
			t.Fatal("a missing folder counts as whole")
		}
		if err := u.build(t.Context(), source, dir, &Progress{Say: t.Logf}); err != nil {
			t.Fatal(err)
		}
		if !u.whole(dir) {
			t.Fatal("what was built is not whole")
		}
		if err := os.Truncate(filepath.Join(dir, "second"), 0); err != nil || u.whole(dir) {
			t.Fatalf("with an empty program it is whole: %t, %v", u.whole(dir), err)
		}
		if err := os.Remove(filepath.Join(dir, "second")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLook_WithOnlyWantsNamedPrograms(t *testing.T) {
	o := checkout(t)
	names := func() (names []string) {
		_, missing, err := look(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range missing {
			names = append(names, u.name)
		}
		return names
	}
	if got := names(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("an up wants %v", got)
	}
	o.Also = []string{"fourth"}
	if got := names(); !slices.Equal(got, []string{"one", "two", "rare"}) {
		t.Errorf("with one that is got later it wants %v", got)
	}
	o.Only = true
	if got := names(); !slices.Equal(got, []string{"rare"}) {
		t.Errorf("of that alone it wants %v", got)
	}
}

func TestRemoveParts_RemovesOnlyParts(t *testing.T) {
	cache := t.TempDir()
	for _, name := range []string{"pulumi-0123", "pulumi-0123" + partMark + "456"} {
		if err := os.MkdirAll(filepath.Join(cache, name, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	removeParts(cache)
	if left, _ := filepath.Glob(filepath.Join(cache, "*")); len(left) != 1 || filepath.Base(left[0]) != "pulumi-0123" {
		t.Errorf("left: %v", left)
	}
}

func TestBuild_LeavesNothingWhenInterrupted(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("GOCACHE", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan bool, 1)
	go func() { // until go has written there
		for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			if found, _ := filepath.Glob(filepath.Join(temp, "*", "*", "*")); len(found) > 0 {
				begun <- true
				cancel()
			}
		}
	}()
	if err := (&Progress{Say: t.Logf}).goBuild(ctx, "this", ".", noStamp, "."); err == nil {
		t.Error("the build was not interrupted")
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(begun) == 0 || len(left) > 0 {
		t.Errorf("the build had begun: %t; left: %v", len(begun) > 0, left)
	}
}

func TestOutsideEnv_IgnoresLocalClouds(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{Pulumi, LanguageGo} {
		if err := os.WriteFile(filepath.Join(home, name), []byte("#!/bin/sh\necho v"+PulumiVersion+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", home)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	inside := func() bool { return !slices.Contains(OutsideEnv(), "HTTPS_PROXY=http://127.0.0.1:1") }
	if !installedPulumi(t.Context(), Programs{}) || inside() {
		t.Error("the user's own pulumi or proxy is not used")
	}
	t.Setenv(HomeVariable, home)
	if installedPulumi(t.Context(), Programs{}) || !inside() {
		t.Error("a local cloud's pulumi or proxy is used")
	}
}

func TestWaiting_ReportsEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []time.Duration
		stop := Waiting(func(passed time.Duration) { told = append(told, passed) })
		time.Sleep(25 * time.Second)
		stop()
		time.Sleep(25 * time.Second)
		if !slices.Equal(told, []time.Duration{10 * time.Second, 20 * time.Second}) {
			t.Errorf("told after %v", told)
		}
	})
}

func TestProgramFlags_AddsToTheUsers(t *testing.T) {
	for given, want := range map[string]string{
		"":                                  "-trimpath -gcflags=all=-dwarf=false -ldflags=-s -buildvcs=false",
		"-tags=x  -ldflags=-w":              "-tags=x -ldflags=-w -trimpath -gcflags=all=-dwarf=false -buildvcs=false",
		"-gcflags=all=-dwarf=false":         "-gcflags=all=-dwarf=false -trimpath -ldflags=-s -buildvcs=false",
		"--trimpath=false":                  "--trimpath=false -gcflags=all=-dwarf=false -ldflags=-s -buildvcs=false",
		"-gcflags=-N -buildvcs=true":        "-gcflags=-N -buildvcs=true -trimpath -ldflags=-s",
		"'-ldflags=-s -X a=b' --gcflags=-N": "'-ldflags=-s -X a=b' --gcflags=-N -trimpath -buildvcs=false",
	} {
		t.Setenv("GOFLAGS", given)
		if got := ProgramFlags(); got != want {
			t.Errorf("with GOFLAGS=%q they are %q, want %q", given, got, want)
		}
	}
}

func TestCompile_DoesNothingWithoutChanges(t *testing.T) {
	dir, mark := t.TempDir(), filepath.Join(t.TempDir(), "mark")
	write := func(name, content string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x\n")
	write("main.go", "package main\nfunc main() {}\n")
	long := time.Now().Add(-time.Hour)
	for _, name := range []string{"go.mod", "main.go"} {
		if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(dir, "program")
	made := func() time.Time {
		t.Helper()
		if err := Compile(t.Context(), dir, "program", mark, &Progress{Say: t.Logf}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(target)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	first := made()
	if again := made(); !again.Equal(first) {
		t.Error("a program that has not changed is compiled again")
	}
	write("main.go", "package main\nfunc main() { println() }\n")
	second := made()
	if second.Equal(first) {
		t.Error("a program that has changed is not compiled")
	}
	write("main.go", "not Go")
	if err := Compile(t.Context(), dir, "program", mark, &Progress{Say: t.Logf}); err == nil {
		t.Error("a program that cannot be compiled is")
	}
	write("main.go", "package main\nfunc main() {}\n")
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	made()
}
