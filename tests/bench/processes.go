package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// programs has the names of processes in tables, by the names of their files.
var programs = map[string]string{
	"fleet":                        "program",
	"pulumi":                       "engine",
	"pulumi-language-go":           "language host",
	"pulumi-language-nodejs":       "language host",
	"pulumi-language-yaml":         "program", // it runs the program itself
	"node":                         "program",
	"pulumi-resource-keyvaultaks":  "package",
	"pulumi-resource-azure-native": "azure-native",
	"pulumi-resource-kubernetes":   "Kubernetes provider",
	"localcloud":                   "local cloud",
	"kube-apiserver":               "kube-apiserver",
	"etcd":                         "etcd",
}

// others is the name of all other processes in tables.
const others = "others"

// measured is what a command took, in total and by program. It includes the local cloud's programs.
type measured struct {
	wall time.Duration
	by   map[string]usage // without wall
}

// of adds up what some programs took. Because they run side by side, it adds up their memory, too.
func (m measured) of(names ...string) (sum usage) {
	for _, name := range names {
		sum.cpu += m.by[name].cpu
		sum.memory += m.by[name].memory
	}
	return sum
}

// least returns the minimum of each value of two runs.
func (m measured) least(other measured) measured {
	least := measured{wall: min(m.wall, other.wall), by: map[string]usage{}}
	for name, a := range m.by {
		b := other.by[name]
		least.by[name] = usage{cpu: min(a.cpu, b.cpu), memory: min(a.memory, b.memory)}
	}
	return least
}

// leastOf returns the minimum of each value of some runs.
func leastOf(runs []measured) measured {
	least := runs[0]
	for _, run := range runs[1:] {
		least = least.least(run)
	}
	return least
}

// measure runs a command and measures it, all processes that it starts, and those of the local cloud with the given
// pid.
func measure(ctx context.Context, cloud int, cmd *exec.Cmd) (measured, error) {
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	w := watcher{used: map[int]process{}}
	w.look(cloud)
	before := maps.Clone(w.used)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return measured{}, err
	}
	watching, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		// Often enough to miss little of the end of a process, and rarely enough to cost nothing.
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			w.look(cloud, cmd.Process.Pid)
			select {
			case <-watching.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	err := cmd.Wait()
	took := measured{wall: time.Since(begin), by: map[string]usage{}}
	stop()
	done.Wait()
	if err != nil {
		text := printed.String()
		return took, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), errors.Join(err, ctx.Err()),
			text[max(0, len(text)-4000):])
	}
	for pid, p := range w.used {
		of := took.by[p.name]
		of.cpu += p.cpu - before[pid].cpu
		of.memory += p.peak
		took.by[p.name] = of
	}
	return took, nil
}

// watcher has what each process had used when it last looked.
type watcher struct{ used map[int]process }

type process struct {
	name string // in tables
	cpu  time.Duration
	peak int64 // peak memory in bytes
}

// look updates the values of some processes and all their descendants. Processes that have ended keep their values.
func (w *watcher) look(roots ...int) {
	children, cpu := map[int][]int{}, map[int]time.Duration{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		content, _ := os.ReadFile(file)
		// The name may have any characters. After it come state, parent, and as 12th and 13th field the times in ticks (man 5
		// proc_pid_stat).
		_, rest, ok := bytes.Cut(content, []byte(") "))
		fields := strings.Fields(string(rest))
		if !ok || len(fields) < 13 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, _ := strconv.Atoi(fields[1])
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		children[parent] = append(children[parent], pid)
		cpu[pid] = time.Duration(user+system) * time.Second / 100 // USER_HZ
	}
	for todo := roots; len(todo) > 0; todo = todo[1:] {
		pid := todo[0]
		todo = append(todo, children[pid]...)
		p := process{name: nameOf(pid), cpu: cpu[pid], peak: peakOf(pid)}
		if p.name == "" || p.peak == 0 {
			continue // the process has ended
		}
		w.used[pid] = p
	}
}

func nameOf(pid int) string {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	file, _, _ := strings.Cut(string(content), "\x00")
	if file == "" {
		return ""
	}
	if name, ok := programs[filepath.Base(file)]; ok {
		return name
	}
	return others
}

func peakOf(pid int) int64 {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(content), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kib, 10, 64)
	return n << 10
}
