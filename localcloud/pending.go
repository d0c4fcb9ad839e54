package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
)

// state is a stack's, as the engine exports it. What is not touched stays as it is.
type state struct {
	file       map[string]json.RawMessage
	deployment map[string]json.RawMessage
	operations []json.RawMessage
}

func parseState(exported []byte) (*state, error) {
	s := &state{}
	err := json.Unmarshal(exported, &s.file)
	if err == nil && s.file["deployment"] != nil {
		err = json.Unmarshal(s.file["deployment"], &s.deployment)
	}
	if operations := s.deployment["pending_operations"]; err == nil && operations != nil {
		err = json.Unmarshal(operations, &s.operations)
	}
	if err == nil {
		for _, one := range s.operations {
			err = errors.Join(err, json.Unmarshal(one, &pendingOperation{}))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the stack's state: %w", err)
	}
	return s, nil
}

// pending are the operations that the engine had begun.
func (s *state) pending() []pendingOperation {
	var all []pendingOperation
	for _, one := range s.operations {
		var op pendingOperation
		_ = json.Unmarshal(one, &op) // parseState has read it before
		all = append(all, op)
	}
	return all
}

// settled is the state with the resources that were created, by their URN and with their id, among the others, and without
// the other operations that were creating something.
func (s *state) settled(ids map[string]string) ([]byte, error) {
	var resources, rest []json.RawMessage
	err := json.Unmarshal(s.deployment["resources"], &resources)
	for _, one := range s.operations {
		var op struct {
			Type     string                     `json:"type"`
			Resource map[string]json.RawMessage `json:"resource"`
		}
		var urn string
		err = errors.Join(err, json.Unmarshal(one, &op), json.Unmarshal(op.Resource["urn"], &urn))
		switch id := ids[urn]; {
		case op.Type != "creating":
			rest = append(rest, one)
		case id != "":
			op.Resource["id"], _ = json.Marshal(id)
			resource, _ := json.Marshal(op.Resource)
			resources = append(resources, resource)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the stack's state: %w", err)
	}
	delete(s.deployment, "pending_operations")
	if len(rest) > 0 {
		s.deployment["pending_operations"], _ = json.Marshal(rest)
	}
	s.deployment["resources"], _ = json.Marshal(resources)
	s.file["deployment"], _ = json.Marshal(s.deployment)
	return json.Marshal(s.file)
}

// pendingOperation is one that the engine had begun when it was killed.
type pendingOperation struct {
	Type     string `json:"type"`
	Resource struct {
		URN    string         `json:"urn"`
		Type   string         `json:"type"`
		Inputs map[string]any `json:"inputs"`
	} `json:"resource"`
}

// created returns the id of a resource that was being created when the engine was killed and is there all the same, or "".
// What was still under way is waited for. Only Azure's resources matter: Kubernetes' objects are applied, not created, and
// random values are nowhere but in the state.
func (op pendingOperation) created(ctx context.Context, azure *armresources.Client, subscriptionID string) (string, error) {
	if op.Type != "creating" || !strings.HasPrefix(op.Resource.Type, "azure-native:") {
		return "", nil
	}
	id, apiVersion, err := plugin.ResourceID(op.Resource.Type, op.Resource.Inputs, subscriptionID)
	if err != nil {
		return "", fmt.Errorf("naming %s: %w", op.Resource.URN, err)
	}
	for {
		found, err := azure.GetByID(ctx, id, apiVersion, nil)
		var refused *azcore.ResponseError
		if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("looking for %s: %w", id, err)
		}
		properties, _ := found.Properties.(map[string]any)
		switch state, _ := properties["provisioningState"].(string); state {
		case "Creating", "Updating", "RegisteringDns":
		default:
			return id, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// azureClient is a client of the local cloud's subscription, as its owner.
func azureClient(r *running) (*armresources.Client, error) {
	ca, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	options := azcore.ClientOptions{Transport: &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: r.Proxy}),
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}}}
	owner, err := azidentity.NewClientSecretCredential(r.Credentials.TenantID, r.Credentials.ClientID, r.Credentials.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	return armresources.NewClient(r.Credentials.SubscriptionID, owner, &arm.ClientOptions{ClientOptions: options})
}
