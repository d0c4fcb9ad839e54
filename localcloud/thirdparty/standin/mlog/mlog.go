// Package mlog stands in for monis.app/mlog, which the driver imports and which cannot be downloaded as a module.
// It has what the driver calls, on top of klog, which both use.
package mlog

import (
	"context"
	"flag"
	"fmt"

	"k8s.io/klog/v2"
)

// LogFormat names how log lines are written. klog writes text; the driver asks for JSON only by a flag that is not set
// here.
type LogFormat string

// The formats that the driver names.
const (
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// Setup returns what flushes the log before the process ends.
func Setup() func() { return klog.Flush }

// ValidateAndSetKlogLevelAndFormatGlobally sets klog's verbosity. It refuses every format but text.
func ValidateAndSetKlogLevelAndFormatGlobally(_ context.Context, level klog.Level, format LogFormat) error {
	if format != FormatText {
		return fmt.Errorf("log format %q: this stand-in for monis.app/mlog writes %q only", format, FormatText)
	}
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	return flags.Set("v", level.String())
}

// Error logs msg with its cause.
func Error(msg string, err error, keysAndValues ...any) { klog.ErrorS(err, msg, keysAndValues...) }

// Fatal logs err and ends the process.
func Fatal(err error) { klog.Fatal(err) }
