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

// asCommand has this test's program be the command.
const asCommand = "KEYVAULT_AKS_TEST_COMMAND"

// TestMain has this test's program be the command where it is called by a plugin's name, or asked to.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "pulumi-resource-") || os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestPlugins_AreThisProgramUnderTheirNames has each say the port that it serves on, which is all that the engine waits
// for, and know its version by its folder.
func TestPlugins_AreThisProgramUnderTheirNames(t *testing.T) {
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
			t.Errorf("%s says %q, and no port", place, line)
		}
	}
}
