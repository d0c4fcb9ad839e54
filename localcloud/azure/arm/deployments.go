package arm

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Deployments of a template into a resource group. The record of one says what was deployed; to delete it deletes
// nothing else (learn.microsoft.com/azure/azure-resource-manager/templates/deployment-history).
const deploymentsType = "Microsoft.Resources/deployments"

var deploymentTypes = []resourceType{
	{
		name: deploymentsType, versions: resourceVersions,
		valid: regexp.MustCompile(`^[-\w._()]{1,64}$`),
		rule:  "1 to 64 letters, digits, underscores, hyphens, parentheses and periods",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putDeployment, putModel: func() any { return new(armresources.Deployment) },
		delete: (*call).deleteDeployment,
	},
	{name: deploymentsType + "/operationStatuses", versions: resourceVersions, get: (*call).getOperation},
}

// deployedTemplates holds what deployments under way have to do, by their ids in lower case.
const deployedTemplates = "deployedTemplates"

type deployedTemplate struct {
	Principal entra.Principal
	Resources []object
}

// putDeployment takes a template of literal resources, which it puts one after another on behalf of the caller.
func (c *call) putDeployment() (reply, error) {
	old, res, err := c.begin(deploymentsType, false)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	if old != nil && !slices.Contains([]string{succeeded, failed}, provisioningState(old)) {
		return reply{}, conflict("DeploymentActive", "Unable to edit or replace deployment '%s': previous deployment is still active.", c.name())
	}
	if mode := text(properties, "mode"); mode != "Incremental" {
		return reply{}, notImplemented("deployments in the mode %q", mode)
	}
	for key, value := range properties {
		empty, isObject := value.(object)
		if !slices.Contains([]string{"mode", "template"}, key) && !(key == "parameters" && isObject && len(empty) == 0) {
			return reply{}, notImplemented("%s of deployments", key)
		}
	}
	template, err := c.readTemplate(child(properties, "template"))
	if err != nil {
		return reply{}, err
	}
	delete(properties, "template")
	properties["parameters"] = object{}
	properties["correlationId"], properties["timestamp"] = uuid.NewString(), time.Now().UTC().Format(time.RFC3339Nano)
	doing := creating
	if old != nil {
		doing = updating
	}
	setState(res, "Running")
	if err := store.Put(c.tx, deployedTemplates, strings.ToLower(text(res, "id")), template); err != nil {
		return reply{}, err
	}
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	op, err := c.startOperation(c.tx, res, doing)
	answer.header = polling("Azure-AsyncOperation", "https://"+Host+text(res, "id")+"/operationStatuses/"+op.ID+"?api-version=2022-09-01")
	answer.after = func() { c.run(op, c.deploy) }
	return answer, err
}

// readTemplate reads a template's resources.
func (c *call) readTemplate(template object) (deployedTemplate, error) {
	read := deployedTemplate{Principal: c.principal}
	for key, value := range template {
		empty, isObject := value.(object)
		if !slices.Contains([]string{"$schema", "contentVersion", "resources"}, key) && !(isObject && len(empty) == 0) {
			return read, notImplemented("%s of templates", key)
		}
	}
	list, isList := template["resources"].([]any)
	if !isList || template["$schema"] == nil || template["contentVersion"] == nil {
		return read, badRequest("InvalidTemplate", "Deployment template validation failed: 'Required property '$schema', 'contentVersion' "+
			"or 'resources' not found in JSON.'")
	}
	for _, one := range list {
		literal, err := literals(one)
		if err != nil {
			return read, err
		}
		res, _ := literal.(object)
		for key := range res {
			if !slices.Contains([]string{"type", "apiVersion", "name", "location", "tags", "identity", "sku", "properties"}, key) {
				return read, notImplemented("%s of a template's resources", key)
			}
		}
		if types, names := strings.Split(text(res, "type"), "/"), strings.Split(text(res, "name"), "/"); len(types) != len(names)+1 || text(res, "apiVersion") == "" {
			return read, badRequest("InvalidTemplate", "Deployment template validation failed: 'The template resource '%s' of type '%s' is not valid.'",
				text(res, "name"), text(res, "type"))
		}
		read.Resources = append(read.Resources, res)
	}
	return read, nil
}

// literals reads the strings of a template. Those in brackets are expressions, unless the brackets are two.
func literals(value any) (any, error) {
	var err error
	switch value := value.(type) {
	case string:
		switch {
		case !strings.HasPrefix(value, "[") || !strings.HasSuffix(value, "]"):
		case strings.HasPrefix(value, "[["):
			return value[1:], nil
		default:
			return nil, notImplemented("expressions in templates, such as %s", value)
		}
	case object:
		read := object{}
		for key, one := range value {
			if read[key], err = literals(one); err != nil {
				return nil, err
			}
		}
		return read, nil
	case []any:
		read := make([]any, len(value))
		for i, one := range value {
			if read[i], err = literals(one); err != nil {
				return nil, err
			}
		}
		return read, nil
	}
	return value, nil
}

// deploy puts the resources of a deployment's template.
func (s *Service) deploy(ctx context.Context, id string) error {
	var template deployedTemplate
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		template, _, err = store.Get[deployedTemplate](tx, deployedTemplates, strings.ToLower(id))
		return err
	}); err != nil {
		return err
	}
	for _, res := range template.Resources {
		if err := s.deployOne(ctx, cut(id, 3), template.Principal, res); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			refused := asError(err)
			return conflict("DeploymentFailed", "At least one resource deployment operation failed. Please list deployment operations for "+
				"details. Please see https://aka.ms/arm-deployment-operations for usage details. %s: %s", refused.Code, refused.Message)
		}
	}
	return s.Store.Update(func(tx *store.Tx) error { return store.Delete(tx, deployedTemplates, strings.ToLower(id)) })
}

// deployAgain is deploy after a restart, which has taken up the operations of resources of the template too.
func (s *Service) deployAgain(ctx context.Context, id string) error {
	for {
		err := s.deploy(ctx, id)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "OperationNotAllowed: ") {
			return err
		}
		wait(ctx, 20*time.Millisecond)
	}
}

// deployOne puts a resource under a path that ends in /providers, and waits until that is done.
func (s *Service) deployOne(ctx context.Context, providers string, by entra.Principal, res object) error {
	types, names := strings.Split(text(res, "type"), "/"), strings.Split(text(res, "name"), "/")
	path := providers + "/" + types[0]
	for i, name := range names {
		path += "/" + types[i+1] + "/" + name
	}
	body := clone(res)
	for _, key := range []string{"type", "apiVersion", "name"} {
		delete(body, key)
	}
	url := (&url.URL{Path: path, RawQuery: url.Values{"api-version": {text(res, "apiVersion")}}.Encode()}).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(encode(body)))
	if err != nil {
		return fmt.Errorf("deploying %s: %w", path, err)
	}
	answer, err := s.handleAs(by, httptest.NewRecorder(), req)
	if err != nil {
		return err
	}
	operation, err := operationOf(answer.header.Get("Azure-AsyncOperation"))
	if err != nil || operation == "" {
		return err
	}
	for {
		var op operationRecord
		if err := s.Store.View(func(tx *store.Tx) (err error) {
			op, _, err = store.Get[operationRecord](tx, operations, operation)
			return err
		}); err != nil {
			return err
		}
		switch {
		case op.Error != nil:
			return op.Error
		case op.Status != inProgress:
			return nil
		}
		wait(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// operationOf is the operation that a URL ends with.
func operationOf(location string) (string, error) {
	parsed, err := url.Parse(location)
	if err != nil {
		return "", fmt.Errorf("reading where to ask for an operation: %w", err)
	}
	return parsed.Path[strings.LastIndexByte(parsed.Path, '/')+1:], nil
}

func (c *call) deleteDeployment() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	if !slices.Contains([]string{succeeded, failed}, provisioningState(res)) {
		return reply{}, conflict("DeploymentActive", "Unable to delete deployment '%s': it is still active.", c.name())
	}
	setState(res, deleting)
	if err := save(c.tx, res); err != nil {
		return reply{}, err
	}
	op, err := c.startOperation(c.tx, res, deleting)
	return reply{
		status: http.StatusAccepted, header: polling("Location", c.groupResultURL(op)), after: func() { c.run(op, c.forgetDeployment) },
	}, err
}

func (s *Service) forgetDeployment(_ context.Context, id string) error {
	return s.Store.Update(func(tx *store.Tx) error {
		res, ok, err := load(tx, id)
		if err != nil || !ok {
			return err
		}
		return destroy(tx, res)
	})
}
