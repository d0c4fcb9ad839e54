package resources

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// deploymentsType is the type of deployments of a template into a resource group. Deleting a deployment deletes only
// its record, not the resources (learn.microsoft.com/azure/azure-resource-manager/templates/deployment-history).
const deploymentsType = "Microsoft.Resources/deployments"

// deployedTemplates is the store's bucket of the templates of deployments under way, by their ids in lower case.
const deployedTemplates = "deployedTemplates"

type deployedTemplate struct {
	Principal entra.Principal
	Resources []arm.Object
}

// putDeployment starts the deployment of a template of literal resources. The operation puts them one after another on
// behalf of the caller.
func putDeployment(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(deploymentsType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	if old != nil && !slices.Contains([]string{arm.Succeeded, arm.Failed}, arm.ProvisioningState(old)) {
		return arm.Reply{}, arm.Conflict("DeploymentActive",
			"Unable to edit or replace deployment '%s': previous deployment is still active.", c.Name())
	}
	if mode := arm.Text(properties, "mode"); mode != "Incremental" {
		return arm.Reply{}, arm.NotImplemented("deployments in the mode %q", mode)
	}
	for key, value := range properties {
		empty, isObject := value.(arm.Object)
		noParameters := key == "parameters" && isObject && len(empty) == 0
		if !slices.Contains([]string{"mode", "template"}, key) && !noParameters {
			return arm.Reply{}, arm.NotImplemented("%s of deployments", key)
		}
	}
	template, err := readTemplate(c, arm.Child(properties, "template"))
	if err != nil {
		return arm.Reply{}, err
	}
	delete(properties, "template")
	properties["parameters"] = arm.Object{}
	properties["correlationId"], properties["timestamp"] = uuid.NewString(), time.Now().UTC().Format(time.RFC3339Nano)
	doing := arm.Creating
	if old != nil {
		doing = arm.Updating
	}
	arm.SetState(res, "Running")
	if err := store.Put(c.Tx, deployedTemplates, fold.Lower(arm.Text(res, "id")), template); err != nil {
		return arm.Reply{}, err
	}
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	return c.Start(answer, res, doing)
}

// readTemplate returns the resources of a template.
func readTemplate(c *arm.Call, template arm.Object) (deployedTemplate, error) {
	read := deployedTemplate{Principal: c.Principal}
	for key, value := range template {
		empty, isObject := value.(arm.Object)
		if !slices.Contains([]string{"$schema", "contentVersion", "resources"}, key) && !(isObject && len(empty) == 0) {
			return read, arm.NotImplemented("%s of templates", key)
		}
	}
	list, isList := template["resources"].([]any)
	if !isList || template["$schema"] == nil || template["contentVersion"] == nil {
		return read, arm.BadRequest("InvalidTemplate", "Deployment template validation failed: 'Required property "+
			"'$schema', 'contentVersion' or 'resources' not found in JSON.'")
	}
	for i, one := range list {
		literal, err := literals(fmt.Sprintf("resources[%d]", i), one)
		if err != nil {
			return read, err
		}
		res, _ := literal.(arm.Object)
		for key := range res {
			if !slices.Contains(templateKeys, key) {
				return read, arm.NotImplemented("%s of a template's resources", key)
			}
		}
		kind, name := arm.Text(res, "type"), arm.Text(res, "name")
		if strings.Count(kind, "/") != strings.Count(name, "/")+1 || arm.Text(res, "apiVersion") == "" {
			return read, arm.BadRequest("InvalidTemplate", "Deployment template validation failed: 'The template "+
				"resource '%s' of type '%s' is not valid.'", name, kind)
		}
		read.Resources = append(read.Resources, res)
	}
	return read, nil
}

// templateKeys lists the implemented keys of a template's resources.
var templateKeys = []string{"type", "apiVersion", "name", "location", "tags", "identity", "sku", "properties"}

// literals returns a value of a template at a path with its strings unescaped: a string that starts with two brackets
// loses one. It refuses expressions, which are strings in single brackets.
func literals(path string, value any) (any, error) {
	var err error
	switch value := value.(type) {
	case string:
		switch {
		case !strings.HasPrefix(value, "[") || !strings.HasSuffix(value, "]"):
		case strings.HasPrefix(value, "[["):
			return value[1:], nil
		default:
			return nil, arm.NotImplemented("expressions in templates, such as the value of '%s'", path)
		}
	case arm.Object:
		read := arm.Object{}
		for key, one := range value {
			if read[key], err = literals(path+"."+key, one); err != nil {
				return nil, err
			}
		}
		return read, nil
	case []any:
		read := make([]any, len(value))
		for i, one := range value {
			if read[i], err = literals(fmt.Sprintf("%s[%d]", path, i), one); err != nil {
				return nil, err
			}
		}
		return read, nil
	}
	return value, nil
}

// deploy puts the resources of a deployment's template. It deletes the template unless it is interrupted. After a
// restart, it retries while resumed operations on resources of the template are under way.
func deploy(ctx context.Context, s *arm.Service, op arm.Operation) error {
	err := deployAll(ctx, s, op.Resource)
	for op.Resumed && err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "OperationNotAllowed: ") {
		arm.Wait(ctx, 20*time.Millisecond)
		err = deployAll(ctx, s, op.Resource)
	}
	if ctx.Err() != nil {
		return err
	}
	return errors.Join(err, s.Store.Update(func(tx *store.Tx) error {
		return store.Delete(tx, deployedTemplates, fold.Lower(op.Resource))
	}))
}

func deployAll(ctx context.Context, s *arm.Service, id string) error {
	var template deployedTemplate
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		template, _, err = store.Get[deployedTemplate](tx, deployedTemplates, fold.Lower(id))
		return err
	}); err != nil {
		return err
	}
	for _, res := range template.Resources {
		if err := deployOne(ctx, s, arm.Cut(id, 3), template.Principal, res); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			refused := arm.AsError(err)
			return arm.Conflict("DeploymentFailed", "At least one resource deployment operation failed. Please list "+
				"deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage "+
				"details. %s: %s", refused.Code, refused.Message)
		}
	}
	return nil
}

// deployOne puts a resource below a path that ends in /providers, and waits for its operation.
func deployOne(ctx context.Context, s *arm.Service, providers string, by entra.Principal, res arm.Object) error {
	types, names := strings.Split(arm.Text(res, "type"), "/"), strings.Split(arm.Text(res, "name"), "/")
	path := providers + "/" + types[0]
	for i, name := range names {
		path += "/" + types[i+1] + "/" + name
	}
	body := arm.Clone(res)
	for _, key := range []string{"type", "apiVersion", "name"} {
		delete(body, key)
	}
	op, err := s.PutAs(ctx, by, path, arm.Text(res, "apiVersion"), body)
	if err != nil || op == nil {
		return err
	}
	return s.WaitFor(ctx, op.ID)
}

func deleteDeployment(c *arm.Call) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	if !slices.Contains([]string{arm.Succeeded, arm.Failed}, arm.ProvisioningState(res)) {
		return arm.Reply{}, arm.Conflict("DeploymentActive",
			"Unable to delete deployment '%s': it is still active.", c.Name())
	}
	arm.SetState(res, arm.Deleting)
	if err := arm.Save(c.Tx, res); err != nil {
		return arm.Reply{}, err
	}
	return c.Start(arm.Reply{Status: http.StatusAccepted}, res, arm.Deleting)
}

// pollDeployment returns the headers with which clients poll a deployment.
func pollDeployment(s *arm.Service, op arm.Operation) http.Header {
	if op.Doing == arm.Deleting {
		return resultOf(s, op)
	}
	return arm.Polling("Azure-AsyncOperation",
		"https://"+arm.Host+op.Resource+"/operationStatuses/"+op.ID+"?api-version=2022-09-01")
}
