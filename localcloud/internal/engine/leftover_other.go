//go:build !linux

package engine

import (
	"syscall"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// isEngine reports whether a process exists. Without /proc its program is not known.
func isEngine(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

// EndPulumis does nothing, since the processes cannot be found without /proc.
func EndPulumis(h *home.Home) error { return nil }

// EndEngines does nothing: the processes cannot be found without /proc, and end by themselves.
func EndEngines(h *home.Home) error { return nil }
