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

// ownGroup puts the engine in a process group of its own, so that one Ctrl-C is one interrupt, and ends the engine with
// this process.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// isEngine reports whether a process is Pulumi's engine.
func isEngine(pid int) bool {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && filepath.Base(strings.TrimSuffix(program, " (deleted)")) == thirdparty.Pulumi
}

// EndPulumis ends every pulumi of the home, including those that users started: one that continues would create the
// home again after it is removed. It interrupts them, so that they save their state, and kills them after 30 seconds.
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
			case waited > 30*time.Second: // also language hosts
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

// EndEngines ends what a killed `up` or `down` left running: plugins outlive the engine for minutes. A mark in their
// environment, which no shell has, identifies them.
func EndEngines(h *home.Home) error {
	marked := append([]byte(mark(h)), 0)
	for range 600 { // a process that waits for a disk cannot end before
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
