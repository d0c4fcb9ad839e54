package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// ownGroup starts the engine in a process group of its own, so that one Ctrl-C is one interrupt, and ends it with
// this one.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// isEngine reports whether a process is Pulumi's engine.
func isEngine(pid int) bool {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && filepath.Base(strings.TrimSuffix(program, " (deleted)")) == thirdparty.Pulumi
}

// EndPulumis ends every pulumi of the home, also one that a person has started: what goes on would make the home again
// once that is removed. It is interrupted, so that it saves its state, and killed half a minute later.
func EndPulumis(h *home.Home) error {
	below := h.Path(home.EngineDir) + string(filepath.Separator)
	begun := time.Now()
	interrupted := map[int]bool{}
	for {
		left := 0
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range links {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			program, gone := os.Readlink(link)
			if err != nil || gone != nil || !strings.HasPrefix(program, below) {
				continue
			}
			left++
			switch waited := time.Since(begun); {
			case waited > 30*time.Second: // language hosts, too
				_ = syscall.Kill(pid, syscall.SIGKILL)
			case isEngine(pid) && !interrupted[pid]:
				interrupted[pid] = true
				_ = syscall.Kill(pid, syscall.SIGINT)
			}
		}
		if left == 0 {
			return nil
		}
		if time.Since(begun) > time.Minute {
			return fmt.Errorf("processes of %s do not end: see `ls -l /proc/*/exe`", below)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// EndEngines ends what a killed `up` or `down` left running: the engine's plugins outlive it for minutes. They are
// known by a mark in their environment that no shell has.
func EndEngines(h *home.Home) error {
	marked := append([]byte(mark(h)), 0)
	for range 600 { // one that waits for a disk ends only then
		left := 0
		environments, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range environments {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil || pid == os.Getpid() {
				continue
			}
			if environment, err := os.ReadFile(file); err != nil || !bytes.Contains(environment, marked) {
				continue
			}
			left++
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if left == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("processes of an interrupted run do not end: see `grep -l KEYVAULT_AKS_ENGINE /proc/*/environ`")
}
