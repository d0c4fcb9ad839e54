package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
)

// LogsOptions are the options of `logs`.
type LogsOptions struct {
	// What is the name of a log. If empty, the logs are listed.
	What string
	// Follow shows what is appended, until the command is interrupted or the log is removed, as `down` does.
	Follow bool
}

func (c *cloud) logsCommand() *cobra.Command {
	var o LogsOptions
	cmd := &cobra.Command{
		Use:   "logs [NAME]",
		Short: "Show a log of the local cloud or of a part of a cluster; without an argument, list the logs",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.What = strings.Join(args, "")
			return c.logs(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false,
		"also show new lines, until you interrupt the command or the log is removed")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || cmd.PreRunE(cmd, args) != nil { // PreRunE finds the home
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _ := c.allLogs()
		var names []string
		for _, log := range all {
			names = append(names, log.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// cloudLog names the log of the serving process.
const cloudLog = "cloud"

func (c *cloud) allLogs() ([]kube.Log, error) {
	all, err := kube.Logs(c.Path(home.KubeDir))
	if _, missing := os.Stat(c.Path(home.LogFile)); missing == nil {
		all = slices.Insert(all, 0, kube.Log{Name: cloudLog, Path: c.Path(home.LogFile)})
	}
	return all, err
}

func (c *cloud) logs(ctx context.Context, o LogsOptions) error {
	all, err := c.allLogs()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(log kube.Log) bool { return log.Name == o.What })
	if i < 0 {
		var names []string
		for _, log := range all {
			names = append(names, log.Name)
		}
		switch {
		case len(all) == 0:
			return errors.New("there are no logs yet: run `localcloud up` or `localcloud start` first")
		case o.What != "":
			return fmt.Errorf("there is no log %q; the logs are %s", o.What, strings.Join(names, ", "))
		case o.Follow:
			return fmt.Errorf("--follow needs the name of a log; the logs are %s", strings.Join(names, ", "))
		}
		for _, log := range all {
			fmt.Fprintln(c.stdout, log.Name, log.Path)
		}
		return nil
	}
	path := all[i].Path
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { file.Close() }()
	for {
		now, gone := os.Stat(path) // before the copy, so that nothing written in between is missed
		if _, err := io.Copy(c.stdout, file); err != nil {
			return fmt.Errorf("showing %s: %w", path, err)
		}
		if !o.Follow {
			return nil
		}
		if errors.Is(gone, os.ErrNotExist) {
			fmt.Fprintf(c.stderr, "%s was removed, together with the program that wrote it\n", path)
			return nil
		}
		if is, err := file.Stat(); err == nil && gone == nil && !os.SameFile(is, now) { // the kubelet rotates logs
			if next, err := os.Open(path); err == nil {
				file.Close()
				file = next
				continue
			}
		}
		select {
		case <-ctx.Done(): // interrupted, which is how following ends
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
