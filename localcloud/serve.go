package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/arm"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

const serveCommand = "serve"

// serve is the local cloud: it runs until it is told to stop. What it says on file descriptor 3, where that is open, is for
// the command that started it: the first line is empty when it serves, or why it does not.
func (l *localCloud) serve(ctx context.Context) (err error) {
	if starter := os.NewFile(3, "starter"); starter != nil {
		syscall.CloseOnExec(3)
		defer func() {
			if err != nil {
				fmt.Fprintln(starter, err)
			}
		}()
		return l.serveAnd(ctx, func() { fmt.Fprintln(starter); starter.Close() })
	}
	return l.serveAnd(ctx, func() {})
}

func (l *localCloud) serveAnd(ctx context.Context, ready func()) error {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // ignored by who started it, it would be in containers too
	lock := flock.New(l.path(lockFile))
	// Another command may be looking at the lock just now; the one that serves holds it for long.
	waiting, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := lock.TryLockContext(waiting, 50*time.Millisecond); err != nil {
		return fmt.Errorf("the local cloud runs already: %w", err)
	}
	defer lock.Unlock()
	if err := os.WriteFile(l.path(lockFile), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("saying who runs the local cloud: %w", err)
	}
	defer os.Truncate(l.path(lockFile), 0)
	var have setup
	if err := readJSON(l.path(setupFile), &have); err != nil {
		return fmt.Errorf("nothing is set up: %w", err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))

	if err := l.checkState(); err != nil {
		return err
	}
	way, err := edge.New(l.path(edgeDir))
	if err != nil {
		return fmt.Errorf("%w: %s", err, wayOut)
	}
	clusters := kube.New(kube.Options{Dir: l.path(kubeDir), Programs: have.Programs, Node: have.Node, Edge: way, Log: log})
	defer clusters.Close()
	times, err := arm.ParseTimes(have.Times)
	if err != nil {
		return err
	}
	cloud, err := azure.New(azure.Options{
		Dir: l.path(azureDir), Edge: way, Clusters: clusters, Log: log, Record: have.Record, Faults: have.Faults, Times: times,
	})
	if errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("%w: %s", err, wayOut)
	}
	if err != nil {
		return err
	}
	defer cloud.Close()
	listener, err := l.listen()
	if err != nil {
		return err
	}
	state := running{
		PID: os.Getpid(), Proxy: listener.Addr().String(), CAFile: way.CAFile(),
		Credentials: cloud.Credentials(), Started: time.Now(), Build: build(),
	}
	if err := writeJSON(l.path(stateFile), state); err != nil {
		return err
	}
	log.Info("serving", "proxy", state.Proxy)
	served := make(chan error, 1)
	go func() { served <- way.Serve(ctx, listener) }()
	// Clusters that the last run left are started again before anybody looks for them.
	if err := cloud.Settle(ctx); err == nil {
		state.Settled, state.Failed = true, clusters.Failures()
		if err := writeJSON(l.path(stateFile), state); err != nil {
			return err
		}
		ready()
	}
	if err := <-served; err != nil && ctx.Err() == nil {
		return err
	}
	log.Info("stopping")
	return nil
}

// listen takes the port of the last time, so that shells in which it was exported go on working, or else any.
func (l *localCloud) listen() (net.Listener, error) {
	var last running
	if readJSON(l.path(stateFile), &last) == nil {
		if listener, err := net.Listen("tcp", last.Proxy); err == nil {
			return listener, nil
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening on loopback: %w", err)
	}
	return listener, nil
}

// start has the local cloud serve in the background, unless it does. One of an older build is stopped first; what it has it
// leaves to the new one.
func (l *localCloud) start(ctx context.Context) (*running, error) {
	r, err := l.settled(ctx)
	if err == nil && r.Build == build() && len(r.Failed) == 0 {
		return r, nil
	}
	if err != nil && !errors.Is(err, errNotRunning) {
		return nil, err
	}
	if err == nil {
		say("the local cloud that runs is of another build, does not say where it is, or lacks a cluster: starting it again")
		if err := l.stop(ctx); err != nil {
			return nil, err
		}
	}
	var before running
	if err := readJSON(l.path(stateFile), &before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("the address of before is not known: %v", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(l.path(logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	said, starter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd := l.serverCommand(exe)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{starter}
	err = cmd.Start()
	starter.Close()
	if err != nil {
		return nil, fmt.Errorf("starting the local cloud: %w", err)
	}
	say("local cloud: starting")
	go func() { _ = cmd.Wait() }()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	quiet := thirdparty.Waiting(func(passed time.Duration) { say("  still starting, with the clusters that there were: %s", passed) })
	words, err := io.ReadAll(said)
	quiet()
	if len(words) == 0 {
		words = []byte("it ended without a word")
	}
	if why := strings.TrimSpace(string(words)); err != nil || why != "" {
		return nil, fmt.Errorf("starting the local cloud: %s (see %s)", why, l.path(logFile))
	}
	r, err = l.running()
	if err == nil && before.Proxy != r.Proxy && before.Proxy != "" {
		say("it has another address than before, %s: a shell needs `eval \"$(bin/localcloud env)\"` again", before.Proxy)
	}
	return whole(r, err)
}

// whole refuses a local cloud without a cluster that it should have.
func whole(r *running, err error) (*running, error) {
	if err != nil || len(r.Failed) == 0 {
		return r, err
	}
	return nil, fmt.Errorf("the local cloud runs, but not %s", strings.Join(r.Failed, "; "))
}

// serverCommand is the one that serves, which outlives its starter and has little of it.
func (l *localCloud) serverCommand(exe string) *exec.Cmd {
	cmd := exec.Command(exe, serveCommand, "--project", l.project, "--home", l.home)
	cmd.Dir, cmd.Env = "/", cloudEnvironment(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the command, not for the cloud
	return cmd
}

// settled is running once one that is starting has started, which a killed command may have left to itself. One of another build is
// not waited for, and one that does not say where it is counts as such.
func (l *localCloud) settled(ctx context.Context) (*running, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		r, err := l.running()
		if !errors.Is(err, errStarting) {
			return r, err
		}
		if r != nil && r.Build != build() {
			return r, nil
		}
		if r == nil && time.Since(begin) > muteLimit {
			return &running{Build: "unknown"}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w, and does not get ready (see %s)", errStarting, l.path(logFile))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const (
	startLimit = 3 * time.Minute  // for a local cloud to have its clusters back
	muteLimit  = 20 * time.Second // and to say where it is
)

// stop ends the one that serves, and with it the clusters. One that does not run is no error.
func (l *localCloud) stop(ctx context.Context) error {
	pid, err := l.holder()
	for range 50 { // it has only just taken the lock
		if !errors.Is(err, errStarting) {
			break
		}
		time.Sleep(100 * time.Millisecond)
		pid, err = l.holder()
	}
	if errors.Is(err, errNotRunning) {
		return nil
	}
	if errors.Is(err, errStarting) {
		return fmt.Errorf("a process that does not say who it is holds %s: end it by hand", l.path(lockFile))
	}
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the local cloud, process %d: %w", pid, err)
	}
	lock := flock.New(l.path(lockFile))
	if err := takeWithin(ctx, lock, 30*time.Second); err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		if err := takeWithin(ctx, lock, 30*time.Second); err != nil {
			return fmt.Errorf("stopping the local cloud, process %d: %w", pid, err)
		}
	}
	return lock.Unlock()
}

func takeWithin(ctx context.Context, lock *flock.Flock, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := lock.TryLockContext(ctx, 50*time.Millisecond)
	return err
}
