package components

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// notThere matches errors of Azure Resource Manager about a missing object, vault or resource group. The providers
// rephrase its answers. Names in the message may contain a number, too.
var notThere = regexp.MustCompile(`(?i)(status|statuscode|response)[ =:]*404\b|code[ =:]*"?[a-z]*NotFound`)

// notAllowed matches errors about missing permissions.
var notAllowed = regexp.MustCompile(`(?i)(status|statuscode|response)[ =:]*403\b|code[ =:]*"?AuthorizationFailed`)

// vaultObject is a secret or a key that may already be in the vault.
type vaultObject struct {
	// vaultName is the vault's name, resolved after Azure was asked for the object.
	vaultName pulumi.StringOutput
	// id is the object's id as Azure spells it, or empty if the object does not exist.
	id pulumi.IDOutput
	// kept is the option that leaves an existing object unchanged, whatever the program and the state say. An object that
	// does not exist, such as in a vault that is being replaced, is created from the program's arguments. A plain
	// IgnoreChanges would create it from the state.
	kept pulumi.ResourceOption
}

// ask looks an object up once the vault and the other values are known. look gets the vault's resource group and name
// and the values. It returns the object's id, or an error that [notThere] matches if the object does not exist.
func (c *KeyVaultStack) ask(
	vault *vaultRef, look func(group, name string, values []any) (id string, err error), values ...any,
) vaultObject {
	var there atomic.Bool
	asked := pulumi.All(append([]any{vault.id, vault.name}, values...)...).ApplyT(func(all []any) ([]string, error) {
		id, vaultName := all[0].(string), all[1].(string)
		parts := vaultID.FindStringSubmatch(id)
		if parts == nil {
			return nil, fmt.Errorf("the vault %s has the id %q, which is not the id of a vault", vaultName, id)
		}
		found, err := look(parts[2], parts[3], all[2:])
		var invalid *ValidationError
		if err != nil && !errors.As(err, &invalid) && notThere.MatchString(err.Error()) {
			err = nil
		}
		there.Store(found != "")
		return []string{vaultName, found}, err
	}).(pulumi.StringArrayOutput)
	keep := func(_ context.Context, args *pulumi.ResourceTransformArgs) *pulumi.ResourceTransformResult {
		if !there.Load() { // the inputs are known by now, and Azure was asked before
			return nil
		}
		// The SDK loses DeletedWith here, which has no effect on retained resources.
		opts := args.Opts
		opts.IgnoreChanges = append(opts.IgnoreChanges, "properties", "tags")
		return &pulumi.ResourceTransformResult{Props: args.Props, Opts: opts}
	}
	return vaultObject{
		vaultName: asked.Index(pulumi.Int(0)),
		id:        asked.Index(pulumi.Int(1)).ApplyT(func(id string) pulumi.ID { return pulumi.ID(id) }).(pulumi.IDOutput),
		kept:      pulumi.Transforms([]pulumi.ResourceTransform{keep}),
	}
}

// expect logs the commands that create expected objects, and in an existing vault looks them up.
func (c *KeyVaultStack) expect(ctx *pulumi.Context, args *KeyVaultStackArgs, vault *vaultRef) error {
	lookedUp := args.ExistingVaultID != nil && missing(args.TenantID)
	name := "VAULT"
	if parts := vaultID.FindStringSubmatch(plainText(args.ExistingVaultID)); parts != nil {
		name = parts[3]
	}
	var others []string
	for _, o := range args.ExpectedObjects {
		if o.Type == ObjectCertificate || !lookedUp {
			others = append(others, o.putCommand(name))
		}
	}
	if len(others) > 0 && ctx.DryRun() {
		message := "before pods start, create these objects, which the stack mounts but does not create:\n  " +
			strings.Join(others, "\n  ")
		if err := ctx.Log.Info(message, &pulumi.LogArgs{Resource: c}); err != nil {
			return fmt.Errorf("logging the expected objects: %w", err)
		}
	}
	if !lookedUp || len(others) == len(args.ExpectedObjects) {
		return nil
	}
	vault.name = pulumi.All(vault.id, vault.name).ApplyT(func(all []any) (string, error) {
		parts := vaultID.FindStringSubmatch(all[0].(string)) // it was checked
		return all[1].(string), c.lookUpAll(ctx, parts[2], parts[3], args.ExpectedObjects)
	}).(pulumi.StringOutput)
	return nil
}

// lookUpsMax limits concurrent lookups.
const lookUpsMax = 16

// lookUpAll fails if secrets or keys are missing. Objects that it may not read count as present, since mounting does
// not require that permission.
func (c *KeyVaultStack) lookUpAll(ctx *pulumi.Context, group, vaultName string, objects []ObjectArgs) error {
	errs := make([]error, len(objects))
	free := make(chan struct{}, lookUpsMax)
	var asked sync.WaitGroup
	for i, o := range objects {
		free <- struct{}{}
		asked.Go(func() {
			errs[i] = c.lookUp(ctx, group, vaultName, o)
			<-free
		})
	}
	asked.Wait()
	var absent, rights []string
	for i, o := range objects {
		switch err := errs[i]; {
		case err == nil:
		case notThere.MatchString(err.Error()):
			absent = append(absent, fmt.Sprintf("%s %s: %s", o.Type, o.Name, o.putCommand(vaultName)))
		case notAllowed.MatchString(err.Error()):
			right := "Microsoft.KeyVault/vaults/" + accessByType[o.Type].collection + "/read"
			if !slices.Contains(rights, right) {
				rights = append(rights, right)
			}
		default:
			return fmt.Errorf("looking for the %s %s: %w", o.Type, o.Name, err)
		}
	}
	if len(rights) > 0 {
		message := fmt.Sprintf("cannot check whether the vault %s has the mounted objects, which requires %s",
			vaultName, strings.Join(rights, " and "))
		if err := ctx.Log.Info(message, &pulumi.LogArgs{Resource: c}); err != nil {
			return fmt.Errorf("logging the missing permissions: %w", err)
		}
	}
	if len(absent) > 0 {
		return fmt.Errorf("the vault %s lacks mounted objects. Create them there, or with this stack:\n  %s",
			vaultName, strings.Join(absent, "\n  "))
	}
	return nil
}

// lookUp fails if a secret or key is missing. Azure Resource Manager knows no certificates.
func (c *KeyVaultStack) lookUp(ctx *pulumi.Context, group, vaultName string, o ObjectArgs) (err error) {
	switch o.Type {
	case ObjectSecret:
		asked := &keyvault.LookupSecretArgs{ResourceGroupName: group, VaultName: vaultName, SecretName: o.Name}
		_, err = c.api.lookUpSecret(ctx, asked, pulumi.Parent(c))
	case ObjectKey:
		asked := &keyvault.LookupKeyArgs{ResourceGroupName: group, VaultName: vaultName, KeyName: o.Name}
		_, err = c.api.lookUpKey(ctx, asked, pulumi.Parent(c))
	}
	return err
}

// putCommand returns the command that creates the object in a vault.
func (o ObjectArgs) putCommand(vaultName string) string {
	command := map[ObjectType]string{
		ObjectSecret:      "az keyvault secret set --vault-name %s --name %[2]s --file %[2]s.txt",
		ObjectKey:         "az keyvault key import --vault-name %s --name %[2]s --pem-file %[2]s.pem",
		ObjectCertificate: "az keyvault certificate import --vault-name %s --name %[2]s --file %[2]s.pfx",
	}[o.Type]
	return fmt.Sprintf(command, vaultName, o.Name)
}
