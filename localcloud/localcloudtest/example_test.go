package localcloudtest_test

import (
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

var t *testing.T // the test that an example is part of

// The cloud's engine deploys a program, and kubectl lists the pods of its cluster.
func ExampleCloud_Program() {
	cloud := localcloudtest.Start(t, localcloudtest.Options{Flags: []string{"--node=stand-in"}})
	for _, args := range [][]string{
		{"pulumi", "stack", "init", "test"},
		{"pulumi", "up", "--yes", "--skip-preview"},
		{"sh", "-c", "(umask 077; pulumi stack output kubeconfig --show-secrets > $KUBECONFIG)"},
		{"kubectl", "get", "pods", "--all-namespaces"},
	} {
		cmd := cloud.Program(t.Context(), args[0], args[1:]...)
		cmd.Dir = "../program"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
}

// A client of Azure's SDK signs in as the subscription's owner.
func ExampleCloud_azure() {
	cloud := localcloudtest.Start(t, localcloudtest.Options{})
	options := azcore.ClientOptions{Transport: cloud.Client}
	who := cloud.Credentials
	owner, err := azidentity.NewClientSecretCredential(who.TenantID, who.ClientID, who.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := armresources.NewResourceGroupsClient(who.SubscriptionID, owner,
		&arm.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	for pages := groups.NewListPager(nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range page.Value {
			fmt.Println(*group.Name)
		}
	}
}
