package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	azurenative "github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
)

// asCommand names the variable that makes the test binary run as the command.
const asCommand = "KEYVAULT_AKS_TEST_COMMAND"

// TestMain runs the command instead of the tests if asCommand is set or the binary is called by a plugin's name.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "pulumi-resource-") || os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestMain_ServesPluginsByName starts each plugin and reads the port that it prints, which is all that the engine waits
// for. The plugins know their version by their folder.
func TestMain_ServesPluginsByName(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{
		"resource-azure-native-v" + azurenative.Version2 + "/pulumi-resource-azure-native",
		"resource-azure-native-v" + azurenative.Version3 + "/pulumi-resource-azure-native",
		"resource-random/pulumi-resource-random",
	} {
		link := filepath.Join(t.TempDir(), place)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(exe, link); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(link, "127.0.0.1:1")
		said, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(said).ReadString('\n')
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if _, err := strconv.Atoi(strings.TrimSpace(line)); err != nil {
			t.Errorf("%s prints %q instead of a port", place, line)
		}
	}
}
