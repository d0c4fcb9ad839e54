package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// askCaller asks the Azure provider for the user who runs Pulumi.
func (r *replay) askCaller(string) (pulumi.Output, error) {
	i := slices.IndexFunc(r.Resources, func(one recorded) bool { return strings.HasPrefix(one.Type, azurePrefix) })
	if i < 0 {
		return nil, errors.New("asking who runs Pulumi: the stack has nothing in Azure")
	}
	version := pulumi.Version(r.Resources[i].Version)
	var answer map[string]any
	if err := r.ctx.Invoke(azurePrefix+"authorization:getClientConfig", nil, &answer, version); err != nil {
		return nil, fmt.Errorf("asking who runs Pulumi: %w", err)
	}
	return pulumi.ToOutput(resource.NewPropertyMapFromMap(answer)), nil
}

// kubeconfigLine matches the lines of a kubeconfig that are secret or differ between clusters.
var kubeconfigLine = regexp.MustCompile(`(?m)^([ -]*(server|[a-z-]+-data): +)(\S+)$`)

// credentialsArgs are the arguments of listManagedClusterUserCredentials.
type credentialsArgs struct {
	ResourceGroupName string `pulumi:"resourceGroupName"`
	ResourceName      string `pulumi:"resourceName"`
}

// credentials are the result of listManagedClusterUserCredentials.
type credentials struct {
	Kubeconfigs []struct {
		Value string `pulumi:"value"`
	} `pulumi:"kubeconfigs"`
}

// askKubeconfig asks for a cluster's kubeconfig once the cluster exists. The output kubeconfig has the values of the
// lines that kubeconfigLine matches.
func (r *replay) askKubeconfig(name string) (pulumi.Output, error) {
	i := slices.IndexFunc(r.Resources, func(one recorded) bool { return one.Name == name })
	cluster, ok := r.outputs[name]
	if i < 0 || !ok {
		return nil, fmt.Errorf("no cluster %s was registered before", name)
	}
	function := strings.TrimSuffix(r.Resources[i].Type, clusterSuffix) + ":listManagedClusterUserCredentials"
	group, err := r.input(r.Resources[i].Inputs["resourceGroupName"])
	if err != nil {
		return nil, err
	}
	return pulumi.All(group, cluster).ApplyT(func(all []any) (any, error) {
		args := &credentialsArgs{ResourceGroupName: all[0].(string)}
		args.ResourceName, _ = stringAt(all[1].(resource.PropertyMap), resource.PropertyPath{"name"})
		var answer credentials
		if err := r.ctx.Invoke(function, args, &answer, pulumi.Version(r.Resources[i].Version)); err != nil {
			return nil, fmt.Errorf("asking for the kubeconfig of %s: %w", name, err)
		}
		if len(answer.Kubeconfigs) == 0 {
			return nil, fmt.Errorf("asking for the kubeconfig of %s: Azure returned none", name)
		}
		text, err := base64.StdEncoding.DecodeString(answer.Kubeconfigs[0].Value)
		if err != nil {
			return nil, fmt.Errorf("asking for the kubeconfig of %s: Azure's answer is not base64", name)
		}
		return resource.NewPropertyMapFromMap(map[string]any{"kubeconfig": ownLines(string(text))}), nil
	}), nil
}

// ownLines returns the values of the lines of a kubeconfig that kubeconfigLine matches.
func ownLines(kubeconfig string) map[string]any {
	lines := map[string]any{}
	for _, line := range kubeconfigLine.FindAllStringSubmatch(kubeconfig, -1) {
		lines[line[2]] = line[3]
	}
	return lines
}
