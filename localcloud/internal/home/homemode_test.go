package home

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMake_AdmitsOnlyTheOwner checks that Make closes a home that others can read, and refuses one that others may have
// written to.
func TestMake_AdmitsOnlyTheOwner(t *testing.T) {
	for name, of := range map[string]struct {
		mode    os.FileMode
		content bool
		taken   bool
	}{
		"closed":                             {0o700, true, true},
		"closed, and the owner cannot write": {0o500, false, true},
		"others can read":                    {0o755, true, true},
		"others can write, and have not":     {0o777, false, true},
		"others can write":                   {0o777, true, false},
		"others can write, sticky":           {0o777 | os.ModeSticky, true, false},
		"the group can write":                {0o770, true, false},
	} {
		home := filepath.Join(t.TempDir(), "home")
		h := &Home{Dir: home, Cache: t.TempDir()}
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		if of.content {
			if err := os.WriteFile(h.Path("bin"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(home, of.mode); err != nil {
			t.Fatal(err)
		}
		err := h.Make(t.Logf)
		info, err2 := os.Stat(home)
		if err2 != nil {
			t.Fatal(err2)
		}
		if (err == nil) != of.taken || err == nil && info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, then its mode is %v", name, err, info.Mode())
		}
	}
}
