package cli

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// status says what runs and which stacks there are.
func (c *cloud) status() {
	c.say("project  %s", c.Project)
	c.say("home     %s", c.Dir)
	if r, err := c.Running(); err != nil {
		c.say("cloud    %v", err)
	} else {
		c.say("cloud    runs since %s: process %d, proxy %s, log %s", time.Since(r.Started).Round(time.Second), r.PID, r.Proxy, c.Path(home.LogFile))
	}
	if have, err := c.Setup(); err == nil {
		c.say("node     %s", have.Node)
		if len(have.RealPlugins) > 0 {
			c.say("plugins  real: %s", engine.DescribePlugins(have.RealPlugins))
		} else {
			c.say("plugins  stand-ins for azure-native and random")
		}
	}
	if names := c.Stacks(); len(names) > 0 {
		c.say("stacks   %s", strings.Join(names, ", "))
	} else {
		c.say("stacks   none")
	}
}

// env prints what a shell needs to use the local cloud and, if `up` has configured it, its only stack or else dev. As
// JSON it is the whole environment of a command, a list of NAME=value.
func (c *cloud) env(asJSON bool) error {
	r, err := c.Running()
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(c.stdout).Encode(engine.Environment(c.Home, r, c.shellStack()))
	}
	engine.PrintEnv(c.stdout, c.Home, r, c.shellStack())
	return nil
}
