package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// screen is lines, of which the last may be one that the next replaces.
type screen struct {
	out io.Writer

	mu    sync.Mutex
	stale bool // whether the last line is to be replaced
}

func (s *screen) say(format string, args ...any) { s.write(fmt.Sprintf(format, args...)+"\n", false) }

// line writes a line that the next one replaces. It is cut where the terminal would begin another.
func (s *screen) line(text string) {
	if width, _, err := term.GetSize(s.fd()); err == nil && len(text) >= width && width > 0 {
		text = text[:width-1]
	}
	s.write(text, true)
}

// fd is the file descriptor of what may be a terminal.
func (s *screen) fd() int {
	if file, ok := s.out.(*os.File); ok {
		return int(file.Fd())
	}
	return -1
}

// clear takes back a line that would be replaced.
func (s *screen) clear() {
	s.mu.Lock()
	stale := s.stale
	s.mu.Unlock()
	if stale {
		s.write("", false)
	}
}

func (s *screen) write(text string, stale bool) {
	const back = "\r\033[K" // to the beginning of the line, which is emptied
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale {
		text = back + text
	}
	fmt.Fprint(s.out, text)
	s.stale = stale
}

// progress tells how far builds are: on a terminal in a line that is rewritten, elsewhere in lines.
func (s *screen) progress() *thirdparty.Progress {
	p := &thirdparty.Progress{Say: s.say}
	if term.IsTerminal(s.fd()) {
		p.Line = s.line
	}
	return p
}
