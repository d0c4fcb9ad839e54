package plugin

import (
	"strings"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func TestConfigure_ReportsAllMissingCredentials(t *testing.T) {
	for _, env := range []string{"ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID"} {
		t.Setenv(env, "")
	}
	t.Setenv("ARM_TENANT_ID", tenant)
	_, err := newAzureNative(Version2).Configure(t.Context(), &pulumirpc.ConfigureRequest{
		Variables: map[string]string{"azure-native:config:clientId": client}, //nolint:staticcheck // as the plugin reads it
	})
	if err == nil {
		t.Fatal("no error")
	}
	for name, reported := range map[string]bool{
		"azure-native:clientId":       false,
		"azure-native:tenantId":       false,
		"azure-native:clientSecret":   true,
		"azure-native:subscriptionId": true,
	} {
		if strings.Contains(err.Error(), name) != reported {
			t.Errorf("%s: reported: got %v, want %v: %v", name, !reported, reported, err)
		}
	}
}

func TestConfigure_FallsBackToEnvironment(t *testing.T) {
	t.Setenv("ARM_CLIENT_ID", client)
	t.Setenv("ARM_CLIENT_SECRET", "hunter2")
	t.Setenv("ARM_TENANT_ID", tenant)
	t.Setenv("ARM_SUBSCRIPTION_ID", "from-the-environment")
	p := newAzureNative(Version2)
	resp, err := p.Configure(t.Context(), &pulumirpc.ConfigureRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if p.subscriptionID() != "from-the-environment" {
		t.Errorf("subscription: got %s", p.subscriptionID())
	}
	// The engine marks secrets itself for a plugin that does not accept them.
	if !resp.GetSupportsPreview() || !resp.GetSupportsAutonamingConfiguration() || resp.GetAcceptSecrets() {
		t.Errorf("got %v", resp)
	}
}

func TestGetPluginInfo_ReturnsVersionFromPath(t *testing.T) {
	for _, version := range []string{"2.92.0", "3.28.0"} {
		started, err := versionOf("/home/plugins/resource-azure-native-v" + version + "/pulumi-resource-azure-native")
		if err != nil {
			t.Fatal(err)
		}
		info, err := newAzureNative(started).GetPluginInfo(t.Context(), nil)
		if err != nil || info.GetVersion() != version {
			t.Errorf("got %v, %v; want %s", info, err, version)
		}
	}
	for _, program := range []string{
		"azure-native", "bin/azure-native", "/plugins/resource-azure-native-v3.27.0/pulumi-resource-azure-native",
	} {
		if version, err := versionOf(program); err == nil {
			t.Errorf("%s: got version %s, want an error", program, version)
		}
	}
}
