package components_test

import (
	"maps"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// podAnnotations returns a mount's annotations for the arguments, and whether they are secret.
func podAnnotations(t *testing.T, args *components.SecretMountArgs) (annotations map[string]string, secret bool) {
	t.Helper()
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", args)
		if err != nil {
			return err
		}
		got := mockengine.Await(t, ctx, c.PodAnnotations)
		annotations, _ = got.Value.(map[string]string)
		secret = got.Secret
		return nil
	})
	return annotations, secret
}

func TestPodAnnotations_ChangeWithObjectsAndVersions(t *testing.T) {
	versions := func(v string) func(*components.SecretMountArgs) {
		return func(a *components.SecretMountArgs) {
			a.Versions = pulumi.StringMap{"my-secret": pulumi.String(v), "other": pulumi.String("1")}
		}
	}
	seen := map[string]string{}
	for name, change := range map[string]func(*components.SecretMountArgs){
		"nothing":      func(*components.SecretMountArgs) {},
		"an object":    func(a *components.SecretMountArgs) { a.Objects = a.Objects[1:] },
		"a version":    func(a *components.SecretMountArgs) { a.Objects[2].Version = "" },
		"the vault":    func(a *components.SecretMountArgs) { a.Access, a.VaultName = "none", pulumi.String("another") },
		"the identity": func(a *components.SecretMountArgs) { a.ClientID = pulumi.String("another") },
		"a Secret": func(a *components.SecretMountArgs) {
			a.SyncSecrets = fullMountArgs().SyncSecrets[:0:0]
			a.SyncSecrets = append(a.SyncSecrets, components.SyncSecretArgs{Name: "s",
				Data: []components.SyncDataArgs{{Key: "k", File: "my-secret"}}})
		},
		"versions":          versions("1"),
		"another version":   versions("2"),
		"versions, swapped": func(a *components.SecretMountArgs) { a.Versions = pulumi.StringMap{"my-secret": pulumi.String("12")} },
	} {
		args := mountArgs()
		change(args)
		first, secret := podAnnotations(t, args)
		again, _ := podAnnotations(t, args)
		digest := first[components.ChecksumAnnotation]
		if len(first) != 1 || len(digest) != 64 || secret || !maps.Equal(first, again) {
			t.Errorf("%s: the annotations are %v and then %v, secret: %t", name, first, again, secret)
		}
		if other, ok := seen[digest]; ok {
			t.Errorf("the annotation is the same for %s and for %s", name, other)
		}
		seen[digest] = name
	}
}

func TestPodAnnotations_IgnoreInvisibleChanges(t *testing.T) {
	args := mountArgs()
	want, _ := podAnnotations(t, args)
	args.Access, args.ClassName, args.TestPod, args.CloudName = "vault", "another", nil, "AzurePublicCloud"
	if got, _ := podAnnotations(t, args); !maps.Equal(got, want) {
		t.Errorf("the annotations are %v, want %v", got, want)
	}
}

func TestPodAnnotations_StaySecret(t *testing.T) {
	args := mountArgs()
	args.Versions = pulumi.ToSecret(pulumi.StringMap{"my-secret": pulumi.String("hunter2")}).(pulumi.StringMapOutput)
	if got, secret := podAnnotations(t, args); !secret {
		t.Errorf("%v, which comes from a secret, is not secret", got)
	}
}
