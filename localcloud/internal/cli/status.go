package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	azurenative "github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
	random "github.com/keyvault-aks/keyvault-aks/localcloud/providers/random/plugin"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// status prints what is running, the stacks and the health of the clusters.
func (c *cloud) status(ctx context.Context) error {
	c.say("project  %s", c.Project)
	c.say("home     %s", c.Dir)
	r, err := c.Running()
	if err != nil {
		c.say("cloud    %v", err)
	} else {
		c.say("cloud    running for %s: process %d, proxy %s, log %s",
			time.Since(r.Started).Round(time.Second), r.PID, r.Proxy, c.Path(home.LogFile))
	}
	if have, err := c.Setup(); err == nil {
		c.say("node     %s", have.Node)
		if len(have.RealPlugins) > 0 {
			c.say("plugins  real: %s", engine.DescribePlugins(have.RealPlugins))
		} else {
			c.say("plugins  stand-ins for azure-native and random")
		}
	}
	if c.ProgramErr != nil {
		c.say("program  %v", c.ProgramErr)
	}
	if names := append(c.Stacks(), c.OtherStacks()...); len(names) > 0 {
		c.say("stacks   %s", strings.Join(names, ", "))
	} else {
		c.say("stacks   none")
	}
	clusters, err := kube.Look(ctx, c.Path(home.KubeDir))
	if err != nil {
		return err
	}
	for _, cluster := range clusters {
		c.sayHealth(cluster, c.provisioningState(ctx, r, cluster.ID))
	}
	return nil
}

// provisioningState returns a cluster's provisioning state, or "unknown" if Azure does not answer soon.
func (c *cloud) provisioningState(ctx context.Context, r *home.Running, id string) string {
	if r == nil || id == "" {
		return "unknown"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	state, err := engine.ProvisioningState(ctx, r, id)
	if err != nil {
		return "unknown"
	}
	return state
}

// sayHealth prints the health of a cluster and of each of its parts.
func (c *cloud) sayHealth(h kube.Health, provisioning string) {
	how := "ready"
	switch {
	case h.Down != "":
		how = "down: " + h.Down
	case !h.Healthy():
		how = "not ready"
	}
	c.say("cluster  %s: %s, provisioning state %s", h.Name, how, provisioning)
	if h.ID != "" {
		c.say("         %s", h.ID)
	}
	widest := 0
	for _, part := range h.Parts {
		widest = max(widest, len(part.Name))
	}
	for _, part := range h.Parts {
		how := "ready"
		if part.Problem != "" {
			how = "not ready: " + part.Problem
		}
		if part.Restarts > 0 {
			how += fmt.Sprintf(" (ended unexpectedly and was restarted: %d times, most recently: %s)",
				part.Restarts, part.LastEnd)
		}
		c.say("         %-*s  %s", widest, part.Name, how)
	}
}

// types lists the resource types that programs can use in the local cloud.
func (c *cloud) types() error {
	types, err := azurenative.Types()
	if err != nil {
		return err
	}
	for _, one := range append(types, random.Types()...) {
		fmt.Fprintln(c.stdout, one)
	}
	fmt.Fprintf(c.stdout, "kubernetes:*, by the real provider, version %s\n", thirdparty.KubernetesPluginVersion)
	return nil
}

// env prints the exports with which a shell uses the local cloud and the stack that shellStack returns. As JSON it
// prints a command's whole environment, a list of NAME=value.
func (c *cloud) env(asJSON bool) error {
	r, err := c.Running()
	if err != nil {
		return err
	}
	if err := engine.LinkOthers(c.Home); err != nil { // plugins may have been installed since the start
		return err
	}
	if asJSON {
		return json.NewEncoder(c.stdout).Encode(engine.Environment(c.Home, r, c.shellStack()))
	}
	engine.PrintEnv(c.stdout, c.Home, r, c.shellStack())
	return nil
}
