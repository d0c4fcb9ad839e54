package cli

import (
	"io"
	"path/filepath"
	"testing"
)

// TestSelf_IsTheSameLocalCloudFromAnyFolder has what is said to call next find the home, or the project, of this call.
func TestSelf_IsTheSameLocalCloudFromAnyFolder(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/none") // where nothing is made
	t.Chdir(t.TempDir())
	project, err := filepath.Abs("program")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{nil, "localcloud"},
		{[]string{"--project", "program"}, "localcloud --project " + project},
		{[]string{"--project", "program", "--home", "/h"}, "localcloud --home /h"},
	} {
		c := &cloud{screen: &screen{out: io.Discard}, stdout: io.Discard, stderr: io.Discard, self: command}
		root := c.command()
		root.SetArgs(append(test.flags, "stop")) // of a cloud that is not there
		root.SetOut(io.Discard)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%q: %v", test.flags, err)
		}
		if c.self != test.want {
			t.Errorf("%q: got %q, want %q", test.flags, c.self, test.want)
		}
	}
}
