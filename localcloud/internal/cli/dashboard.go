package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/dashboard"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func (c *cloud) dashboardCommand() *cobra.Command {
	var port int
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Serve a page that shows the local cloud at work: resources, requests, mounts, operations and faults",
		Long: `Serve a page that shows the local cloud at work: its resources, each request with its caller and the reason
why it was allowed or refused, the mounts of pods, long operations, and faults to switch on and off.

The command prints a URL to open in a browser on this machine, and serves until Ctrl-C. The token in the URL changes
with every run, and nothing is served without it. To use a browser on another machine, forward the port with
ssh -L PORT:127.0.0.1:PORT.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.dashboard(cmd.Context(), port) },
	}
	cmd.Flags().IntVar(&port, "port", 0, "`port` on 127.0.0.1 (default: a free one)")
	return cmd
}

// nameOf returns what a person calls the local cloud: its program's name, or the folder's.
func (c *cloud) nameOf() string {
	if c.ProgramErr == nil && c.Program.Name != "" {
		return c.Program.Name
	}
	return filepath.Base(c.Project)
}

// dashboard serves the page until ctx is done. The local cloud must run at the beginning, and may restart later.
func (c *cloud) dashboard(ctx context.Context, port int) error {
	starting := func(err error) bool { return errors.Is(err, home.ErrStarting) }
	if _, err := c.Running(); err != nil && !starting(err) {
		return err
	}
	server, err := dashboard.Listen(dashboard.Options{
		Port: port, Name: c.nameOf(), Cloud: c.Running, Starting: starting,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "dashboard: %s\n", server.URL())
	c.say("open it in a browser on this machine; Ctrl-C ends it")
	return server.Serve(ctx)
}
