//go:build !linux

package machine

func unblockSignals() error { return nil }
func closeOnExec()          {}
