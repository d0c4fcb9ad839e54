package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// set is a required setting: its names in the configuration and in the environment, and its value.
type set struct{ name, env, value string }

// signIn returns a credential in azure-native's order: with a client secret, or else by OIDC if useOidc is set
// (github.com/pulumi/pulumi-azure-native, provider/pkg/provider/auth_azidentity.go). It reports all missing settings.
func (p *azureNative) signIn() (azcore.TokenCredential, error) {
	for _, way := range []struct{ name, env, what string }{
		{"useDefaultAzureCredential", "ARM_USE_DEFAULT_AZURE_CREDENTIAL", "the Default Azure Credential"},
		{"clientCertificatePath", "ARM_CLIENT_CERTIFICATE_PATH", "a Client Certificate"},
	} {
		if value := p.setting(way.name, way.env); value != "" && value != "false" {
			const format = "azure-native:%s or %s: authenticating with %s is not implemented here"
			return nil, fmt.Errorf(format, way.name, way.env, way.what)
		}
	}
	tenant, client := p.setting("tenantId", "ARM_TENANT_ID"), p.setting("clientId", "ARM_CLIENT_ID")
	required := []set{
		{"clientId", "ARM_CLIENT_ID", client},
		{"tenantId", "ARM_TENANT_ID", tenant},
		{"subscriptionId", "ARM_SUBSCRIPTION_ID", p.subscriptionID()},
	}
	secret := p.setting("clientSecret", "ARM_CLIENT_SECRET")
	if secret == "" && p.setting("useOidc", "ARM_USE_OIDC") == "true" {
		assertion, err := p.assertion()
		if err := errors.Join(append(missing(required, "when authenticating with OIDC"), err)...); err != nil {
			return nil, err
		}
		return azidentity.NewClientAssertionCredential(tenant, client, assertion,
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: p.sdkOptions()})
	}
	required = append(required, set{"clientSecret", "ARM_CLIENT_SECRET", secret})
	const otherwise = "authenticating without it or OIDC (azure-native:useOidc or ARM_USE_OIDC) is not implemented here"
	if err := errors.Join(missing(required, otherwise)...); err != nil {
		return nil, err
	}
	options := azidentity.ClientSecretCredentialOptions{ClientOptions: p.sdkOptions()}
	return azidentity.NewClientSecretCredential(tenant, client, secret, &options)
}

func missing(required []set, when string) (all []error) {
	for _, s := range required {
		if s.value == "" {
			all = append(all, fmt.Errorf("azure-native:%s or %s must be set: %s", s.name, s.env, when))
		}
	}
	return all
}

// assertion returns the source of OIDC tokens: a given token, a file that is read now, or a service that is asked each
// time. GitHub's variables name that service. Version 2 prefers other variables.
func (p *azureNative) assertion() (func(context.Context) (string, error), error) {
	given := func(token string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return token, nil }
	}
	if token := p.setting("oidcToken", "ARM_OIDC_TOKEN"); token != "" {
		return given(token), nil
	}
	if path := p.setting("oidcTokenFilePath", "ARM_OIDC_TOKEN_FILE_PATH"); path != "" {
		token, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("failed to read OIDC token from %s: %w", path, err)
		}
		return given(string(token)), nil
	}
	prefixes, audience := []string{"ARM_OIDC_REQUEST_", "ACTIONS_ID_TOKEN_REQUEST_"}, ""
	if p.version != Version2 {
		prefixes, audience = prefixes[1:], p.setting("oidcAudience", "ARM_OIDC_AUDIENCE")
	}
	if audience == "" {
		audience = "api://AzureADTokenExchange"
	}
	for _, prefix := range prefixes {
		url, token := p.setting("oidcRequestUrl", prefix+"URL"), p.setting("oidcRequestToken", prefix+"TOKEN")
		if url != "" && token != "" {
			return func(ctx context.Context) (string, error) { return p.requestToken(ctx, url, token, audience) }, nil
		}
	}
	return nil, errors.New("azure-native:oidcToken or ARM_OIDC_TOKEN, " +
		"azure-native:oidcTokenFilePath or ARM_OIDC_TOKEN_FILE_PATH, " +
		"or both azure-native:oidcRequestUrl and azure-native:oidcRequestToken " +
		"or ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN " +
		"must be set when authenticating with OIDC")
}

// requestToken requests a token as a GitHub Actions job does.
func (p *azureNative) requestToken(ctx context.Context, url, bearer, audience string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("GitHub OIDC: failed to build request to %s: %w", url, err)
	}
	query := req.URL.Query()
	query.Set("audience", audience)
	req.URL.RawQuery = query.Encode()
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer)
	var transport policy.Transporter = http.DefaultClient
	if p.options.Transport != nil {
		transport = p.options.Transport
	}
	resp, err := transport.Do(req)
	if err != nil {
		return "", fmt.Errorf("GitHub OIDC: couldn't request token: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("GitHub OIDC: cannot read response: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return "", fmt.Errorf("GitHub OIDC: %d with response: %s", resp.StatusCode, body)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("GitHub OIDC: cannot unmarshal response: %w", err)
	}
	return answer.Value, nil
}
