package components

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/internal/hooknames"
)

// onObjectFailure returns the option for a Kubernetes object. It retries the creation while the cluster is not ready,
// and logs on the component what to do about an object that already exists. lost says what to do if only the state has
// lost the object; empty if nothing can be done.
func onObjectFailure(ctx *pulumi.Context, c pulumi.Resource, name, lost string) (pulumi.ResourceOption, error) {
	return retryOption(ctx, c, name, func(args *pulumi.ErrorHookArgs) (early string, err error) {
		switch latest := args.Errors[0]; {
		// AccessNotAllowedVerdict of https://github.com/kubeguard/guard, which AKS' API servers consult.
		case strings.Contains(latest, "does not have access to the resource in Azure"):
			return lateRole, nil
		// The add-on installs the kind SecretProviderClass, possibly late.
		case strings.Contains(latest, "no matches for kind"):
			return "is of a kind that the cluster does not have yet, which its add-on brings", nil
		case objectExists.MatchString(latest):
			message := existsMessage(args.Type, args.NewInputs) + lost + " Nothing of it was changed."
			return "", ctx.Log.Error(message, &pulumi.LogArgs{Resource: c})
		default:
			return "", nil
		}
	})
}

// objectExists matches the API server's AlreadyExists error, after the object's kind.
var objectExists = regexp.MustCompile(`"[^"]+" already exists`)

// existsMessage says what to do about an object that could not be created because it exists.
func existsMessage(typ tokens.Type, inputs resource.PropertyMap) string {
	kind := string(typ.Name())
	id := path.Join(metadataText(inputs, "namespace"), metadataText(inputs, "name"))
	ways := "give it another name"
	switch kind {
	case "Namespace":
		ways = "declare it as existing (in a component leave out createNamespace, in this program's configuration set " +
			"existingNamespace), or " + ways
	case "ServiceAccount":
		ways = "declare it as existing (existing of the service account), or " + ways
	}
	return fmt.Sprintf("The %s %s already exists and is not in this stack. If it is somebody else's, %s. If it is this "+
		"stack's, give it an alias with its former name in Pulumi, or import it (pulumi import, with --parent and "+
		"--provider).", kind, id, ways)
}

// metadataText returns a string from an object's metadata, or the empty string.
func metadataText(object resource.PropertyMap, key resource.PropertyKey) string {
	if metadata := object["metadata"]; metadata.IsObject() && metadata.ObjectValue()[key].IsString() {
		return metadata.ObjectValue()[key].StringValue()
	}
	return ""
}

// preventTakeover returns the option for an object that is created by a provider of the caller's, which takes over
// existing objects if it applies server-side. It makes the preview fail, for which such a provider does a dry run in
// the cluster. After an update without a preview it reports what happened.
func preventTakeover(ctx *pulumi.Context, name string) (pulumi.ResourceOption, error) {
	// Earlier versions of the engine only warn about errors of such a hook (https://github.com/pulumi/pulumi/pull/22935).
	if err := ctx.RequirePulumiVersion(">=3.238.0"); err != nil {
		return nil, fmt.Errorf("registering the checks of existing objects of %s: %w", name, err)
	}
	begun := time.Now()
	look := func(args *pulumi.ResourceHookArgs) error {
		before := metadataText(args.NewOutputs, "resourceVersion") != "" // the API server gives none to what it only tries
		if !ctx.DryRun() {
			const skew = time.Minute // between the clocks of the cluster and of this machine
			made, err := time.Parse(time.RFC3339, metadataText(args.NewOutputs, "creationTimestamp"))
			before = err == nil && made.Before(begun.Add(-skew))
		}
		if !before || pulumiMade(args.NewOutputs) {
			return nil
		}
		message := existsMessage(args.Type, args.NewInputs)
		if !ctx.DryRun() {
			message += " The Kubernetes provider has taken it over: remove it from the state before Pulumi deletes it (pulumi " +
				"state delete)."
		}
		return errors.New(message + " To prevent this, set enableServerSideApply to false on the provider.")
	}
	hook, err := ctx.RegisterResourceHook(hooknames.New(ctx.Context(), name+"-not-taken-over"), look,
		&pulumi.ResourceHookOptions{OnDryRun: true})
	if err != nil {
		return nil, fmt.Errorf("registering the checks of existing objects of %s: %w", name, err)
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{AfterCreate: []*pulumi.ResourceHook{hook}}), nil
}

// pulumiMade reports whether another resource of Pulumi has applied the object before: that resource may be about to be
// replaced.
func pulumiMade(object resource.PropertyMap) bool {
	managers := object["metadata"].ObjectValue()["managedFields"]
	return managers.IsArray() && slices.ContainsFunc(managers.ArrayValue(), func(by resource.PropertyValue) bool {
		if !by.IsObject() || !by.ObjectValue()["manager"].IsString() {
			return false
		}
		manager := by.ObjectValue()["manager"]
		return strings.HasPrefix(manager.StringValue(), "pulumi-kubernetes") && !manager.DeepEquals(object["__fieldManager"])
	})
}
