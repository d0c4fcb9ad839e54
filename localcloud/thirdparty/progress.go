package thirdparty

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// knownCosts has the processor seconds that compiling each package took on the machine of docs/benchmarks.md, if it was
// more than 0.1 s, and those of linking each program. `go run ./bench -costs cold` in tests writes it.
//
//go:embed costs.txt
var knownCosts string

// otherPackages is the key for the cost of packages that are not listed. linked is the prefix of a program's key.
const (
	otherPackages = "other"
	linked        = "link "
)

var costs = sync.OnceValue(func() map[string]float64 {
	all := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(knownCosts)); lines.Scan(); {
		name, seconds, _ := strings.Cut(lines.Text(), "\t")
		all[name], _ = strconv.ParseFloat(seconds, 64)
	}
	return all
})

// cost returns the processor seconds that it takes to compile a package.
func cost(pkg string) float64 {
	if known, is := costs()[pkg]; is {
		return known
	}
	return costs()[otherPackages]
}

// Progress reports the progress of builds, measured in known processor seconds.
type Progress struct {
	// Say prints a line.
	Say func(format string, args ...any)
	// Line replaces its last line, every second. If it is nil, the progress goes to Say every ten seconds.
	Line func(line string)

	mu          sync.Mutex
	jobs        []*job
	at          int       // index of the running job
	total, done float64   // processor seconds of all jobs
	began       time.Time // when the first package was compiled
}

// job is a call of go build.
type job struct {
	name     string
	versions map[string]string // packages to compile -> version of their module
	total    float64           // processor seconds
	done     float64
	compiled int // packages
	fetched  int // modules
}

// plan adds a call of go build with the flags and patterns args. Packages that an earlier call compiles count only
// there.
func (p *Progress) plan(ctx context.Context, name, dir, goflags string, args ...string) error {
	const format = `{{if .Stale}}{{.ImportPath}} {{with .Module}}{{.Version}}{{end}} {{.Name}}{{end}}`
	out, err := goOutput(ctx, dir, goflags, append([]string{"list", "-deps", "-f", format}, args...)...)
	if err != nil {
		return err
	}
	j := &job{name: name, versions: map[string]string{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(fields) != 3 {
			continue
		}
		path, version := fields[0], fields[1]
		if slices.ContainsFunc(p.jobs, func(j *job) bool { v, is := j.versions[path]; return is && v == version }) {
			continue
		}
		j.versions[path] = version
		j.total += cost(path)
		if fields[2] == "main" {
			j.total += costs()[linked+path]
		}
	}
	p.jobs = append(p.jobs, j)
	p.total += j.total
	return nil
}

// follow reports the progress of a job, read from the output of go build -v, until done is called.
func (p *Progress) follow(name string) (w *lines, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = slices.IndexFunc(p.jobs, func(j *job) bool { return j.name == name })
	if p.at < 0 { // not planned
		p.jobs = append(p.jobs, &job{name: name})
		p.at = len(p.jobs) - 1
	}
	j := p.jobs[p.at]
	every, tell := 10*time.Second, func() { p.Say("  %s", p.state()) }
	if p.Line != nil {
		every, tell = time.Second, func() { p.Line(p.state()) }
	}
	stop := ticking(every, tell)
	return &lines{line: func(line string) { p.heard(j, line) }}, func() {
		stop()
		p.mu.Lock()
		p.done += j.total - j.done // linking, and packages that another process has compiled meanwhile
		j.done = j.total
		p.mu.Unlock()
		if p.Line != nil {
			p.Line("")
		}
	}
}

// heard counts a line of go build: a package that it begins to compile, or a module that it downloads.
func (p *Progress) heard(j *job, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(line, "go: ") {
		j.fetched++
		return
	}
	if p.began.IsZero() {
		p.began = time.Now()
	}
	j.compiled++
	if _, is := j.versions[line]; !is {
		return
	}
	j.done += cost(line)
	p.done += cost(line)
}

// state describes how much is done, what comes next and how much time is left.
func (p *Progress) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jobs[p.at]
	var b strings.Builder
	if p.total > 0 {
		fmt.Fprintf(&b, "%2.0f %% of %.0f processor seconds: ", 100*p.done/p.total, p.total)
	}
	b.WriteString(j.name)
	switch {
	case j.compiled > 0 && j.compiled < len(j.versions):
		fmt.Fprintf(&b, ", %d of %d packages", j.compiled, len(j.versions))
	case j.compiled > 0 && len(j.versions) > 0:
		b.WriteString(", linking")
	case j.compiled > 0:
		fmt.Fprintf(&b, ", %d packages", j.compiled)
	case j.fetched > 0:
		fmt.Fprintf(&b, ", %d modules fetched", j.fetched)
	}
	if p.at+1 < len(p.jobs) {
		fmt.Fprintf(&b, "; then %s", p.jobs[p.at+1].name)
	}
	const enough = 15 * time.Second // to estimate this machine's speed
	if passed := time.Since(p.began); !p.began.IsZero() && passed >= enough && p.done > 0 {
		left := time.Duration(float64(passed) * (p.total - p.done) / p.done)
		fmt.Fprintf(&b, "; %s left", left.Round(time.Second))
	}
	return b.String()
}

// lines is a writer that calls a function with each line, and keeps the last lines for an error message.
type lines struct {
	line func(string)
	part []byte
	kept []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.part = append(l.part, b...)
	for {
		line, rest, whole := bytes.Cut(l.part, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		l.part = rest
		l.kept = append(l.kept[max(0, len(l.kept)-19):], string(line))
		l.line(string(line))
	}
}

func (l *lines) tail() string {
	return strings.Join(append(l.kept, string(l.part)), "\n")
}

// Waiting calls tell every ten seconds with the time that has passed, until stop is called.
func Waiting(tell func(passed time.Duration)) (stop func()) {
	start := time.Now()
	return ticking(10*time.Second, func() { tell(time.Since(start).Round(time.Second)) })
}

// ticking calls tell repeatedly until stop is called.
func ticking(every time.Duration, tell func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				tell()
			}
		}
	}()
	return func() { close(done); <-ended }
}
