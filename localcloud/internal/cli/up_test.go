package cli

import (
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func TestEnoughDisk_ChecksOnlyNewHome(t *testing.T) {
	const none = 1 << 62
	c := &cloud{Home: &home.Home{Dir: t.TempDir()}}
	if err := c.enoughDisk(none); err == nil {
		t.Error("a new home needs no space")
	}
	if err := c.enoughDisk(0); err != nil {
		t.Error(err)
	}
	if err := c.SaveRunning(home.Running{}); err != nil {
		t.Fatal(err)
	}
	if err := c.enoughDisk(none); err != nil {
		t.Errorf("a home that has served: %v", err)
	}
}

func TestChoice_RejectsOtherValues(t *testing.T) {
	for given, want := range map[string]engine.PluginKind{
		"real": engine.RealPlugins, "stand-in": engine.StandInPlugins, "theirs": "", "": "",
	} {
		var got engine.PluginKind
		f := &choice[engine.PluginKind]{&got, "plugins", engine.RealPlugins, engine.StandInPlugins}
		if err := f.Set(given); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
}
