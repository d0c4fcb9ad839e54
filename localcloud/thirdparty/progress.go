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

// knownCosts has, for each package that takes more than a tenth of one, the processor seconds that compiling it took on
// the machine of docs/benchmarks.md, and for each program those of linking it. `go run ./bench -costs cold` in tests
// writes it.
//
//go:embed costs.txt
var knownCosts string

// otherPackages is the key of what compiling a package that costs does not have takes, and linked precedes a program's.
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

// cost is the processor seconds that compiling a package takes.
func cost(pkg string) float64 {
	if known, is := costs()[pkg]; is {
		return known
	}
	return costs()[otherPackages]
}

// Progress tells how far builds are, in processor seconds known from before.
type Progress struct {
	// Say is told whole lines.
	Say func(format string, args ...any)
	// Line is told every second what replaces the line that it was told before. Where it is nil, Say is told every ten
	// seconds.
	Line func(line string)

	mu          sync.Mutex
	jobs        []*job
	at          int       // the job that runs
	total, done float64   // processor seconds of all jobs
	began       time.Time // of the first package
}

// job is a call of go build.
type job struct {
	name     string
	versions map[string]string // of the packages that are to be compiled
	total    float64           // processor seconds
	done     float64
	compiled int
	fetched  int // modules
}

// plan adds a call of go build to what is to be done: args are its flags and patterns. What an earlier call compiles
// counts for that alone.
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

// follow tells how far the next job is, by what go build -v writes to the writer, until done is called.
func (p *Progress) follow(name string) (w *lines, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = slices.IndexFunc(p.jobs, func(j *job) bool { return j.name == name })
	if p.at < 0 { // not planned: nothing is known of it
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
		p.done += j.total - j.done // what was linked, and what somebody else has compiled meanwhile
		j.done = j.total
		p.mu.Unlock()
		if p.Line != nil {
			p.Line("")
		}
	}
}

// heard takes in a line that go build wrote: a package that it begins to compile, or a module that it fetches.
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

// state says how much is done of how much, what comes next, and how long it will take if it goes on like this.
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
	const enough = 15 * time.Second // to tell how quick this machine is
	if passed := time.Since(p.began); !p.began.IsZero() && passed >= enough && p.done > 0 {
		left := time.Duration(float64(passed) * (p.total - p.done) / p.done)
		fmt.Fprintf(&b, "; %s left", left.Round(time.Second))
	}
	return b.String()
}

// lines calls a function with each whole line that is written, and keeps the last ones for an error message.
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

// Waiting calls tell every ten seconds, with the time that has passed, until the function that it returns is called.
func Waiting(tell func(passed time.Duration)) (stop func()) {
	start := time.Now()
	return ticking(10*time.Second, func() { tell(time.Since(start).Round(time.Second)) })
}

// ticking calls tell again and again until the function that it returns is called.
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
