package plugin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

// action is a function that sends a POST to a resource.
type action struct {
	on    string // type of the resource
	name  string // last segment of the path
	query []string
}

var actions = map[string]action{
	"containerservice:listManagedClusterUserCredentials": {
		on:    "ManagedCluster",
		name:  "listClusterUserCredential",
		query: []string{"format", "server-fqdn"},
	},
	"containerservice:listManagedClusterAdminCredentials": {
		on:    "ManagedCluster",
		name:  "listClusterAdminCredential",
		query: []string{"server-fqdn"},
	},
}

// sdkNames maps query parameters to their names in the SDK, where they differ.
var sdkNames = map[string]string{"server-fqdn": "serverFqdn"}

// Invoke calls a function: getX for every resource type X of the catalog, the actions, or one of the functions about
// the caller. As in azure-native, nothing in the result is marked secret, not even kubeconfigs and tokens.
func (p *azureNative) Invoke(ctx context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	args, err := decode(req.GetArgs())
	if err != nil {
		return nil, fmt.Errorf("reading the arguments: %w", err)
	}
	ctx, cancel := p.operation(ctx, 0)
	defer cancel()
	result, err := p.call(ctx, req.GetTok(), args.Mappable())
	if err != nil {
		return nil, err
	}
	encoded, err := encode(resource.NewPropertyMapFromMap(result))
	if err != nil {
		return nil, fmt.Errorf("writing the result: %w", err)
	}
	return &pulumirpc.InvokeResponse{Return: encoded}, nil
}

func (p *azureNative) call(ctx context.Context, token string, args map[string]any) (map[string]any, error) {
	if err := p.serves(token); err != nil {
		return nil, unknownFunction(err)
	}
	member, _, err := parseToken(token)
	if err != nil {
		return nil, unknownFunction(err)
	}
	_, name, _ := strings.Cut(member, ":")
	switch {
	case member == "authorization:getClientConfig":
		return p.clientConfig(ctx)
	case member == "authorization:getClientToken":
		endpoint, _ := args["endpoint"].(string)
		t, err := p.token(ctx, endpoint)
		return map[string]any{"token": t}, err
	case strings.HasPrefix(name, "get"):
		rt, apiVersion, err := lookupFor(token, strings.TrimSuffix(token, name)+strings.TrimPrefix(name, "get"))
		if err != nil {
			return nil, unknownFunction(err)
		}
		return p.getter(ctx, rt, apiVersion, member, args)
	}
	a, ok := actions[member]
	if !ok {
		return nil, unknownFunction(notImplemented(token))
	}
	rt, apiVersion, err := lookupFor(token, strings.TrimSuffix(token, name)+a.on)
	if err != nil {
		return nil, unknownFunction(err)
	}
	return p.act(ctx, rt, apiVersion, member, a, args)
}

// unknownFunction notes that a function is unknown and returns err, because a preview cannot go on without a result.
func unknownFunction(err error) error {
	unknowntypes.Note(err)
	return err
}

func (p *azureNative) getter(
	ctx context.Context,
	rt *resourceType,
	apiVersion, function string,
	args map[string]any,
) (map[string]any, error) {
	id, err := rt.id(args, p.subscriptionID())
	if err != nil {
		return nil, err
	}
	found, err := p.arm.get(ctx, id, apiVersion)
	if err != nil {
		return nil, fmt.Errorf("request failed %s: %w", id, err)
	}
	shown, err := rt.shownBy(function, apiVersion, rt.shape(found))
	if err == nil && p.version == Version3 {
		shown["azureApiVersion"] = apiVersion
	}
	return shown, err
}

func (p *azureNative) act(
	ctx context.Context,
	rt *resourceType,
	apiVersion, function string,
	a action,
	args map[string]any,
) (map[string]any, error) {
	id, err := rt.id(args, p.subscriptionID())
	if err != nil {
		return nil, err
	}
	query := url.Values{"api-version": {apiVersion}}
	for _, q := range a.query {
		name := q
		if n, ok := sdkNames[q]; ok {
			name = n
		}
		if v, ok := args[name].(string); ok {
			query.Set(q, v)
		}
	}
	result, err := p.arm.post(ctx, id+"/"+a.name, query)
	if err != nil {
		return nil, fmt.Errorf("request failed %s/%s: %w", id, a.name, err)
	}
	return rt.shownBy(function, apiVersion, result)
}

// token returns an access token for an endpoint. An empty endpoint means Azure Resource Manager.
func (p *azureNative) token(ctx context.Context, endpoint string) (string, error) {
	if endpoint == "" {
		endpoint = p.arm.endpoint + "/"
	}
	t, err := p.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{endpoint + "/.default"}})
	if err != nil {
		return "", fmt.Errorf("getting a token for %s: %w", endpoint, err)
	}
	return t.Token, nil
}

// graphScope is the scope of the token from which azure-native learns its identity: the endpoint of Microsoft Graph in
// the public cloud, and /.default (github.com/pulumi/pulumi-azure-native, provider/pkg/provider/auth_getclientconfig.go
// and provider/pkg/azure/cloud/cloud.go).
const graphScope = "https://graph.microsoft.com//.default"

// clientConfig returns the identity of the plugin, from the claims of a token for Microsoft Graph.
func (p *azureNative) clientConfig(ctx context.Context) (map[string]any, error) {
	t, err := p.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{graphScope}})
	if err != nil {
		return nil, fmt.Errorf("getting client config: could not acquire access token to parse claims: %w", err)
	}
	var claims struct {
		ObjectID string `json:"oid"`
		ClientID string `json:"appid"`
		TenantID string `json:"tid"`
	}
	parts := strings.Split(t.Token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("reading the token's claims: want 3 parts, got %d", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the token's claims: %w", err)
	}
	return map[string]any{
		"clientId":       claims.ClientID,
		"objectId":       claims.ObjectID,
		"subscriptionId": p.subscriptionID(),
		"tenantId":       claims.TenantID,
	}, nil
}
