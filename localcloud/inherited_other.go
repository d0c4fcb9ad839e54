//go:build !linux

package main

func unblockSignals() error { return nil }
func closeOnExec()          {}
