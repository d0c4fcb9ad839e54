// Package daemon runs the local cloud in a background process that outlives the command that starts it.
package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Command is the hidden command that serves.
const Command = "serve"

// Serve runs the local cloud until ctx is done. If file descriptor 3 is open, Serve reports on it to the command that
// started it: an empty line once it serves, or the error.
func Serve(ctx context.Context, h *home.Home, log io.Writer) (err error) {
	if starter := os.NewFile(3, "starter"); starter != nil {
		syscall.CloseOnExec(3)
		defer func() {
			if err != nil {
				fmt.Fprintln(starter, err)
			}
		}()
		return serveAnd(ctx, h, log, func() { fmt.Fprintln(starter); starter.Close() })
	}
	return serveAnd(ctx, h, log, func() {})
}

func serveAnd(ctx context.Context, h *home.Home, logTo io.Writer, ready func()) error {
	// If the parent ignores SIGHUP, so would containers. Handling the signal makes them start with the default action.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	lock := flock.New(h.Path(home.LockFile))
	// Wait for commands that only check the lock: they hold it briefly.
	waiting, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := lock.TryLockContext(waiting, 50*time.Millisecond); err != nil {
		return fmt.Errorf("the local cloud is already running: %w", err)
	}
	defer lock.Unlock()
	if err := os.WriteFile(h.Path(home.LockFile), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("writing the local cloud's process id: %w", err)
	}
	defer os.Truncate(h.Path(home.LockFile), 0)
	have, err := h.Setup()
	if err != nil {
		return fmt.Errorf("reading the local cloud's setup: %w", err)
	}
	log := slog.New(slog.NewTextHandler(logTo, nil))

	if err := h.CheckState(); err != nil {
		return err
	}
	way, err := edge.New(h.Path(home.EdgeDir))
	if err != nil {
		return fmt.Errorf("%w: %s", err, home.WayOut)
	}
	clusters := kube.New(kube.Options{
		Dir: h.Path(home.KubeDir), Programs: have.Programs, Node: have.Node, Edge: way, Log: log,
	})
	defer clusters.Close()
	times, err := azure.ParseTimes(have.Times)
	if err != nil {
		return err
	}
	cloud, err := azure.New(azure.Options{
		Dir: h.Path(home.AzureDir), Edge: way, Clusters: clusters, Mounts: clusters, Log: log,
		Record: have.Record, Faults: have.Faults, Times: times,
	})
	if errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("%w: %s", err, home.WayOut)
	}
	if err != nil {
		return err
	}
	defer cloud.Close()
	listener, err := listen(h)
	if err != nil {
		return err
	}
	state := home.Running{
		PID: os.Getpid(), Proxy: listener.Addr().String(), CAFile: way.CAFile(),
		Credentials: layout.Credentials(cloud.Credentials()), Started: time.Now(), Build: Build(), Times: have.Times,
	}
	if err := h.SaveRunning(state); err != nil {
		return err
	}
	log.Info("serving", "proxy", state.Proxy)
	served := make(chan error, 1)
	go func() { served <- way.Serve(ctx, listener) }()
	// Restart the clusters of the previous run before a client asks for them.
	if err := cloud.Settle(ctx); err == nil {
		state.Settled, state.Failed = true, clusters.Failures()
		if err := h.SaveRunning(state); err != nil {
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

// listen listens on the port of the previous run, which shells may have exported, or else on any port.
func listen(h *home.Home) (net.Listener, error) {
	if last, err := h.LastRunning(); err == nil {
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

// Start starts the local cloud in the background, unless it is already running. If a local cloud of another build is
// running, or some of its clusters are not, it is restarted with its state.
func Start(ctx context.Context, h *home.Home, say func(format string, args ...any)) (*home.Running, error) {
	r, err := settled(ctx, h)
	if err == nil && r.Build == Build() && len(r.Failed) == 0 {
		return r, nil
	}
	if err != nil && !errors.Is(err, home.ErrNotRunning) {
		return nil, err
	}
	if err == nil {
		say("restarting the local cloud: it is of another build, does not report its address or lacks a cluster")
		if err := Stop(ctx, h); err != nil {
			return nil, err
		}
	}
	before, err := h.LastRunning()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("cannot read the local cloud's previous address: %v", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(h.Path(home.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	said, starter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd := serverCommand(h, exe)
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
	quiet := thirdparty.Waiting(func(passed time.Duration) { say("  still starting, with its clusters: %s", passed) })
	words, err := io.ReadAll(said)
	quiet()
	if len(words) == 0 {
		words = []byte("it ended without an error message")
	}
	if why := strings.TrimSpace(string(words)); err != nil || why != "" {
		return nil, fmt.Errorf("starting the local cloud: %s (see %s)", why, h.Path(home.LogFile))
	}
	r, err = h.Running()
	if err == nil && before.Proxy != r.Proxy && before.Proxy != "" {
		say("its address was %s and has changed: run `eval \"$(localcloud env)\"` again in your shells", before.Proxy)
	}
	return whole(r, err)
}

// whole returns an error if clusters of the local cloud could not be restarted.
func whole(r *home.Running, err error) (*home.Running, error) {
	if err != nil || len(r.Failed) == 0 {
		return r, err
	}
	return nil, fmt.Errorf("the local cloud is running, but not all of its clusters: %s", strings.Join(r.Failed, "; "))
}

// serverCommand returns the command that serves. It outlives its parent and inherits little from it.
func serverCommand(h *home.Home, exe string) *exec.Cmd {
	cmd := exec.Command(exe, Command, "--project", h.Project, "--home", h.Dir)
	cmd.Dir, cmd.Env = "/", cloudEnvironment(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the command, not for the cloud
	return cmd
}

// cloudEnvironment returns the part of an environment that the serving process and its clusters inherit: the user and
// the number of cores. Other variables could affect their programs: etcd reads each of its options from a variable too,
// and containerd looks for runc on the PATH.
func cloudEnvironment(of []string) []string {
	kept := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, v := range of {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "HOME", "USER", "LOGNAME", "GOMAXPROCS":
			kept = append(kept, v)
		}
	}
	return kept
}

// settled returns what Home.Running does, but waits for a local cloud that is starting, which a killed command may have
// left behind. It does not wait for a local cloud of another build. One that does not report its address in time counts
// as such.
func settled(ctx context.Context, h *home.Home) (*home.Running, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		r, err := h.Running()
		if !errors.Is(err, home.ErrStarting) {
			return r, err
		}
		if r != nil && r.Build != Build() {
			return r, nil
		}
		if r == nil && time.Since(begin) > muteLimit {
			return &home.Running{Build: "unknown"}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w, but does not become ready (see %s)", home.ErrStarting, h.Path(home.LogFile))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const (
	startLimit = 3 * time.Minute  // for a local cloud to restart its clusters
	muteLimit  = 20 * time.Second // for a local cloud to report its address
)

// Stop ends the local cloud with its clusters. It returns nil if none is running.
func Stop(ctx context.Context, h *home.Home) error {
	pid, err := h.Holder()
	for range 50 { // a process that has just taken the lock soon writes its id
		if !errors.Is(err, home.ErrStarting) {
			break
		}
		time.Sleep(100 * time.Millisecond)
		pid, err = h.Holder()
	}
	if errors.Is(err, home.ErrNotRunning) {
		return nil
	}
	if errors.Is(err, home.ErrStarting) {
		return fmt.Errorf("an unknown process holds %s: find and end it", h.Path(home.LockFile))
	}
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the local cloud, process %d: %w", pid, err)
	}
	lock := flock.New(h.Path(home.LockFile))
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

// Build returns a hash of this program, or an empty string if the program cannot be read. A build is identified by its
// contents, since go build updates the time of a binary even if it does not change.
func Build() string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	file, err := os.Open(program)
	if err != nil {
		return ""
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
