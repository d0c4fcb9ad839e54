package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/ciissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
)

// CITokenOptions are the options of `ci-token`.
type CITokenOptions struct {
	// Ask describes the token.
	Ask ciissuer.Ask
	// Request prints the variables with which a job requests tokens, instead of a token.
	Request bool
}

func (c *cloud) ciTokenCommand() *cobra.Command {
	var o CITokenOptions
	var claims []string
	names := ciissuer.Names()
	cmd := &cobra.Command{
		Use:       "ci-token " + strings.Join(names, "|"),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		Short:     "Print an ID token like those of GitHub Actions, GitLab CI/CD or Pulumi Cloud, for signing in to Azure",
		Example: "  localcloud ci-token github --subject repo:octo-org/octo-repo:environment:prod\n" +
			"  eval \"$(localcloud ci-token github --subject repo:octo-org/octo-repo:pull_request --request)\"",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Ask.CI = args[0]
			if o.Ask.Claims, err = pairs(claims); err != nil {
				return fmt.Errorf("--claim: %w", err)
			}
			return c.ciToken(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Ask.Subject, "subject", "", "`subject` of the token, in a form that the issuer uses")
	flags.StringVar(&o.Ask.Audience, "audience", "",
		"`audience` of the token (default: the issuer's audience for Azure: api://AzureADTokenExchange; for Pulumi, the "+
			"organization, in ESC prefixed with azure:)")
	flags.StringArrayVar(&claims, "claim", nil,
		"`NAME=VALUE` of a claim that does not follow from the subject; Entra ID ignores these claims")
	flags.BoolVar(&o.Request, "request", false,
		"print exports of ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN instead, with which a GitHub "+
			"Actions job requests its tokens (github only)")
	_ = cmd.MarkFlagRequired("subject") // fails only for an unknown flag
	cmd.MarkFlagsMutuallyExclusive("request", "audience")
	return cmd
}

// pairs parses NAME=VALUE arguments.
func pairs(given []string) (map[string]string, error) {
	all := map[string]string{}
	for _, pair := range given {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := all[name]; !ok || name == "" || twice {
			return nil, fmt.Errorf("%q is not of the form NAME=VALUE, or its name is given twice", pair)
		}
		all[name] = value
	}
	return all, nil
}

// ciToken prints only a token, or the exports with which a job requests one.
func (c *cloud) ciToken(ctx context.Context, o CITokenOptions) error {
	r, err := c.Running()
	if err != nil {
		return err
	}
	client, err := r.HTTPClient()
	if err != nil {
		return err
	}
	body, err := json.Marshal(ciissuer.Order{Ask: o.Ask, Job: o.Request})
	if err != nil {
		return err
	}
	url := "https://" + faults.Host + "/ci-tokens"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(r.Credentials.ClientID, r.Credentials.ClientSecret)
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("requesting a token from the local cloud: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("requesting a token from the local cloud: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	if o.Request {
		var job ciissuer.Request
		if err := json.Unmarshal(text, &job); err != nil {
			return fmt.Errorf("reading the local cloud's answer: %w", err)
		}
		fmt.Fprintf(c.stdout, "export ACTIONS_ID_TOKEN_REQUEST_URL='%s'\n", job.URL)
		fmt.Fprintf(c.stdout, "export ACTIONS_ID_TOKEN_REQUEST_TOKEN='%s'\n", job.Token)
		return nil
	}
	var issued ciissuer.Issued
	if err := json.Unmarshal(text, &issued); err != nil {
		return fmt.Errorf("reading the local cloud's answer: %w", err)
	}
	fmt.Fprintln(c.stdout, issued.Token)
	return nil
}
