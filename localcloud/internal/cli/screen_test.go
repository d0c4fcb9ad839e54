package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestScreen_ErasesReplacedLines(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out}
	s.say("one")
	s.line("half of it, at length")
	s.line("all")
	s.say("two")
	s.line("again")
	s.clear()
	s.say("three")
	if got := shown(out.String()); got != "one\ntwo\nthree\n" {
		t.Errorf("a terminal shows %q", got)
	}
}

// shown returns what a terminal shows in the end. A carriage return and "erase to the end of the line" empty the last
// line.
func shown(written string) string {
	var done, line strings.Builder
	for len(written) > 0 {
		if rest, is := strings.CutPrefix(written, "\r\033[K"); is {
			line.Reset()
			written = rest
			continue
		}
		line.WriteByte(written[0])
		if written[0] == '\n' {
			done.WriteString(line.String())
			line.Reset()
		}
		written = written[1:]
	}
	return done.String() + line.String()
}
