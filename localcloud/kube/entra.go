package kube

import (
	"context"
	"fmt"
	"os"
	"strings"

	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
)

// kubeloginClient is the application id of "Azure Kubernetes Service AAD Client", with which users sign in.
const kubeloginClient = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"

// entraKubeconfig returns the kubeconfig that AKS gives to users of a cluster with Entra ID integration. It contains no
// credentials: kubelogin lets the user sign in, or uses another login after `kubelogin convert-kubeconfig`.
func entraKubeconfig(ca *authority, spec azure.ClusterSpec) ([]byte, error) {
	user := &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1beta1",
		Command:    "kubelogin",
		Args: []string{
			"get-token", "--environment", "AzurePublicCloud",
			"--server-id", entra.KubernetesServer, "--client-id", kubeloginClient, "--tenant-id", azure.TenantID,
			"--login", "devicecode",
		},
		InstallHint: "kubelogin is needed to sign in to the cluster: https://aka.ms/aks/kubelogin",
	}}
	return kubeconfig(ca, clusterURL(spec), spec.Name, clusterUser(spec), user)
}

// authorizationFlags returns the flags that make the API server ask Azure who has a token of Entra ID and, with Azure
// RBAC, whether a request is allowed, if Kubernetes' own RBAC does not allow it.
func (s *supervisor) authorizationFlags() ([]string, error) {
	if !s.Spec.Entra {
		return []string{"--authorization-mode=Node,RBAC"}, nil
	}
	tokens, err := s.webhookFile("token-webhook", guard.TokenReviewURL(s.Spec.ID))
	if err != nil {
		return nil, err
	}
	flags := []string{"--authentication-token-webhook-config-file=" + tokens, "--authentication-token-webhook-version=v1"}
	if !s.Spec.AzureRBAC {
		return append(flags, "--authorization-mode=Node,RBAC"), nil
	}
	access, err := s.webhookFile("access-webhook", guard.AccessReviewURL(s.Spec.ID))
	return append(flags, "--authorization-mode=Node,RBAC,Webhook",
		"--authorization-webhook-config-file="+access, "--authorization-webhook-version=v1",
		// The local Azure answers quickly, so its answers need not be cached for minutes. The API server rejects 0.
		"--authorization-webhook-cache-authorized-ttl=1s", "--authorization-webhook-cache-unauthorized-ttl=1s",
	), err
}

// webhookFile writes the API server's configuration of a webhook behind the edge, a kubeconfig, and returns its path.
func (s *supervisor) webhookFile(name, url string) (string, error) {
	content, err := writeKubeconfig(&clientcmdapi.Cluster{
		Server: url, CertificateAuthority: s.CAFile, ProxyURL: "http://" + loopback(s.ports.edge),
	}, "azure", "api-server", new(clientcmdapi.AuthInfo))
	if err != nil {
		return "", err
	}
	path := s.path(name + ".yaml")
	return path, os.WriteFile(path, content, 0o600)
}

// bindAdminGroups binds the role cluster-admin to exactly the groups of administrators in the cluster's spec.
func (s *supervisor) bindAdminGroups(ctx context.Context) error {
	if !s.Spec.Entra {
		return nil
	}
	binding := adminBinding(s.Spec.AdminGroups)
	content, err := yaml.Marshal(binding)
	if err != nil {
		return err
	}
	if err := s.client.put(ctx, content); err != nil {
		return fmt.Errorf("binding the groups of administrators: %w", err)
	}
	return nil
}

// adminBinding returns the binding with AKS's name for it. groups are separated by commas.
func adminBinding(groups string) rbac.ClusterRoleBinding {
	binding := rbac.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbac.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: "aks-cluster-admin-binding-aad"},
		RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}
	for group := range strings.SplitSeq(groups, ",") {
		if group != "" {
			binding.Subjects = append(binding.Subjects,
				rbac.Subject{APIGroup: rbac.GroupName, Kind: rbac.GroupKind, Name: group})
		}
	}
	return binding
}

func clusterURL(spec azure.ClusterSpec) string { return "https://" + spec.FQDN + ":443" }

// clusterUser returns the user's name in AKS's kubeconfigs for users that are not administrators.
func clusterUser(spec azure.ClusterSpec) string {
	group := strings.Split(spec.ID, "/")[4] // /subscriptions/{s}/resourceGroups/{g}/...
	return "clusterUser_" + group + "_" + spec.Name
}
