//go:build !linux

package kube

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"
)

const (
	machineDir  = ""
	nodeAddress = "127.0.0.1"
)

func ownProgram() string {
	program, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return program
}

func isolate(*exec.Cmd)       {}
func endWithParent(*exec.Cmd) {}
func lockThread() func()      { return func() {} }

func end(cmd *exec.Cmd, done <-chan struct{}) {
	select { // the supervisor ends its children first
	case <-done:
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
	}
}

func setHostname(string) error                       { return errors.ErrUnsupported }
func enterMachine(string) error                      { return errors.ErrUnsupported }
func enterNode(string, []string) error               { return errors.ErrUnsupported }
func beNode(io.Writer, string, []string) error       { return errors.ErrUnsupported }
func reapUntilExit([]string, []uintptr) (int, error) { return 0, errors.ErrUnsupported }
func cgroupRoot(string) string                       { return "" }
func makeCgroups(string) error                       { return nil }
func removeCgroups(string)                           {}

// CanRunRealNode returns an error, since a real node needs Linux.
func CanRunRealNode() error { return errors.New("not Linux") }

// namespaces exist only on Linux.
type namespaces struct{}

func (*namespaces) enter(*exec.Cmd) error { return errors.ErrUnsupported }

func (*supervisor) makeNode(context.Context) (*namespaces, error) { return nil, errors.ErrUnsupported }
