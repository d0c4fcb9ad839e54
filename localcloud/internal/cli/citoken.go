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

// CITokenOptions are those of `ci-token`.
type CITokenOptions struct {
	// Ask says which token.
	Ask ciissuer.Ask
	// Request prints what a job asks for tokens with, instead of a token.
	Request bool
}

func (c *cloud) ciTokenCommand() *cobra.Command {
	var o CITokenOptions
	var claims []string
	names := ciissuer.Names()
	cmd := &cobra.Command{
		Use: "ci-token " + strings.Join(
			names,
			"|",
		),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		Short:     "Print an ID token as GitHub Actions, GitLab CI/CD or Pulumi Cloud issues it, for what signs in to Azure with it",
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
	flags.StringVar(&o.Ask.Subject, "subject", "", "`subject` of the token, one that the issuer forms")
	flags.StringVar(
		&o.Ask.Audience,
		"audience",
		"",
		"`audience` of the token (default: what the issuer gives Azure: api://AzureADTokenExchange, and of Pulumi the organization, with azure: before it in ESC)",
	)
	flags.StringArrayVar(
		&claims,
		"claim",
		nil,
		"`NAME=VALUE` of a claim that does not follow from the subject; Entra ID looks at none of them",
	)
	flags.BoolVar(
		&o.Request,
		"request",
		false,
		"print what to export instead, for a job of github that asks for tokens by ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN",
	)
	_ = cmd.MarkFlagRequired("subject") // which is a flag
	cmd.MarkFlagsMutuallyExclusive("request", "audience")
	return cmd
}

// pairs are names and values.
func pairs(given []string) (map[string]string, error) {
	all := map[string]string{}
	for _, pair := range given {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := all[name]; !ok || name == "" || twice {
			return nil, fmt.Errorf("%q is not NAME=VALUE, or not the only one with this name", pair)
		}
		all[name] = value
	}
	return all, nil
}

// ciToken prints a token alone, or the exports of what asks for it.
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
	req, err := http.NewRequestWithContext(
		ctx,
		http.MethodPost,
		"https://"+faults.Host+"/ci-tokens",
		bytes.NewReader(body),
	)
	if err != nil {
		return err
	}
	req.SetBasicAuth(r.Credentials.ClientID, r.Credentials.ClientSecret)
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking the local cloud for a token: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("asking the local cloud for a token: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	if o.Request {
		var job ciissuer.Request
		if err := json.Unmarshal(text, &job); err != nil {
			return fmt.Errorf("reading the local cloud's answer: %w", err)
		}
		fmt.Fprintf(
			c.stdout,
			"export ACTIONS_ID_TOKEN_REQUEST_URL='%s'\nexport ACTIONS_ID_TOKEN_REQUEST_TOKEN='%s'\n",
			job.URL,
			job.Token,
		)
		return nil
	}
	var issued ciissuer.Issued
	if err := json.Unmarshal(text, &issued); err != nil {
		return fmt.Errorf("reading the local cloud's answer: %w", err)
	}
	fmt.Fprintln(c.stdout, issued.Token)
	return nil
}
