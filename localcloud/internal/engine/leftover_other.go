//go:build !linux

package engine

import (
	"syscall"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// isEngine reports whether a process is there: what it runs is not known here.
func isEngine(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

// EndPulumis leaves a person's pulumi: there is no looking for it here.
func EndPulumis(h *home.Home) error { return nil }

// EndEngines leaves what a killed run left running to end by itself: there is no looking for it here.
func EndEngines(h *home.Home) error { return nil }
