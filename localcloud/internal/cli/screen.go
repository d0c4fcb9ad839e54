package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// screen writes lines. The next line may replace the last one.
type screen struct {
	out io.Writer

	mu    sync.Mutex
	stale bool // the next line replaces the last one
}

func (s *screen) say(format string, args ...any) { s.write(fmt.Sprintf(format, args...)+"\n", false) }

// line writes a line that the next one replaces. It cuts the line at the terminal's width.
func (s *screen) line(text string) {
	if width, _, err := term.GetSize(s.fd()); err == nil && len(text) >= width && width > 0 {
		text = text[:width-1]
	}
	s.write(text, true)
}

// fd returns the output's file descriptor, or -1 if it is not a file.
func (s *screen) fd() int {
	if file, ok := s.out.(*os.File); ok {
		return int(file.Fd())
	}
	return -1
}

// clear removes a last line that would be replaced.
func (s *screen) clear() {
	s.mu.Lock()
	stale := s.stale
	s.mu.Unlock()
	if stale {
		s.write("", false)
	}
}

func (s *screen) write(text string, stale bool) {
	const back = "\r\033[K" // return to the beginning of the line and erase it
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale {
		text = back + text
	}
	fmt.Fprint(s.out, text)
	s.stale = stale
}

// progress reports the progress of builds: on a terminal in one line that is rewritten, elsewhere line by line.
func (s *screen) progress() *thirdparty.Progress {
	p := &thirdparty.Progress{Say: s.say}
	if term.IsTerminal(s.fd()) {
		p.Line = s.line
	}
	return p
}
