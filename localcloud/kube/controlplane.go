package kube

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// AKS's default address ranges.
const (
	serviceRange = "10.0.0.0/16"
	serviceFirst = "10.0.0.1"
	serviceDNS   = "10.0.0.10"
	podRange     = "10.244.0.0/16"
)

// startControlPlane runs etcd and the API server, and returns when the API server answers, even if it is not ready.
func (s *supervisor) startControlPlane(ctx context.Context) error {
	etcd, err := s.certificate(certificate{name: "etcd", user: "etcd", hosts: []string{"127.0.0.1"}})
	if err != nil {
		return err
	}
	if err := s.checkEtcd(); err != nil {
		return err
	}
	client := fmt.Sprintf("https://127.0.0.1:%d", s.ports.etcd)
	peer := fmt.Sprintf("http://127.0.0.1:%d", s.ports.etcdPeer)
	if err := s.run(ctx, thirdparty.Etcd, s.Programs[thirdparty.Etcd],
		"--name=default", "--data-dir="+s.path("etcd"), "--unsafe-no-fsync",
		// The only member elects itself after the election timeout, so a short one starts faster.
		"--heartbeat-interval=20", "--election-timeout=100",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--cert-file="+etcd.crt, "--key-file="+etcd.key, "--client-cert-auth", "--trusted-ca-file="+s.path("pki", "ca.crt"),
	); err != nil {
		return err
	}
	if err := s.startAPIServer(ctx, client, etcd); err != nil {
		return err
	}
	return s.awaitAPIServer(ctx, func(int) bool { return true })
}

// startControllers runs the controller manager and the scheduler when the API server is ready: they themselves check
// for that only once a second.
func (s *supervisor) startControllers(ctx context.Context) error {
	if err := s.awaitAPIServer(ctx, func(status int) bool { return status == http.StatusOK }); err != nil {
		return err
	}
	s.say("API server ready")
	if err := os.WriteFile(s.path(readyMark), nil, 0o600); err != nil {
		return err
	}
	return s.runControllers(ctx)
}

// checkEtcd returns an error if etcd has lost its files, since it would start with an empty store.
func (s *supervisor) checkEtcd() error {
	if !wasReady(s.Dir) {
		return nil
	}
	for _, file := range []string{filepath.Join("snap", "db"), filepath.Join("wal", "*.wal")} {
		file = filepath.Join(s.path("etcd", "member"), file)
		if found, err := filepath.Glob(file); err != nil || len(found) == 0 {
			return lost(fmt.Errorf("etcd's %s is missing", file))
		}
	}
	return nil
}

//go:embed audit.yaml
var auditPolicy string

func (s *supervisor) startAPIServer(ctx context.Context, etcdURL string, etcd files) error {
	serving, err := s.certificate(certificate{name: "kube-apiserver", user: "kube-apiserver", hosts: append(names(s.Spec),
		"127.0.0.1", nodeAddress, serviceFirst, "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	)})
	if err != nil {
		return err
	}
	const kubeletClient = "kube-apiserver-kubelet-client"
	toKubelet, err := s.certificate(certificate{
		name: kubeletClient, user: kubeletClient, groups: []string{"system:masters"},
	})
	if err != nil {
		return err
	}
	_, signingKey, err := serviceAccountKey(s.path("pki"))
	if err != nil {
		return err
	}
	authorization, err := s.authorizationFlags()
	if err != nil {
		return err
	}
	policy := s.path("audit.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	return s.run(ctx, thirdparty.APIServer, s.Programs[thirdparty.APIServer], append(
		authorization,
		"--etcd-servers="+etcdURL,
		"--etcd-cafile="+s.path("pki", "ca.crt"),
		"--etcd-certfile="+etcd.crt,
		"--etcd-keyfile="+etcd.key,
		"--bind-address="+s.node.address(),
		fmt.Sprintf("--secure-port=%d", s.ports.api),
		"--advertise-address="+nodeAddress,
		"--endpoint-reconciler-type=none",
		"--tls-cert-file="+serving.crt,
		"--tls-private-key-file="+serving.key,
		"--client-ca-file="+s.path("pki", "ca.crt"),
		// The issuer is the URL at which Azure publishes the keys, as in AKS with the OIDC issuer enabled.
		"--service-account-issuer="+s.Spec.IssuerURL,
		"--service-account-jwks-uri="+s.Spec.IssuerURL+"openid/v1/jwks",
		"--service-account-key-file="+signingKey,
		"--service-account-signing-key-file="+signingKey,
		"--service-cluster-ip-range="+serviceRange,
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--kubelet-client-certificate="+toKubelet.crt,
		"--kubelet-client-key="+toKubelet.key,
		"--kubelet-certificate-authority="+s.path("pki", "ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file="+policy,
		"--audit-log-path="+s.path("log", thirdparty.APIServer+"-audit.log"),
		"--audit-log-maxsize=10", // MB
		"--audit-log-maxbackup=1",
		"--profiling=false",
	)...)
}

func (s *supervisor) runControllers(ctx context.Context) error {
	_, signingKey, err := serviceAccountKey(s.path("pki"))
	if err != nil {
		return err
	}
	manager, err := s.kubeconfigFile(certificate{
		name: thirdparty.ControllerManager, user: "system:kube-controller-manager",
	})
	if err != nil {
		return err
	}
	scheduler, err := s.kubeconfigFile(certificate{name: thirdparty.Scheduler, user: "system:kube-scheduler"})
	if err != nil {
		return err
	}
	err = s.run(ctx, thirdparty.ControllerManager, s.Programs[thirdparty.ControllerManager],
		"--kubeconfig="+manager, "--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--use-service-account-credentials", "--service-account-private-key-file="+signingKey,
		"--root-ca-file="+s.path("pki", "ca.crt"),
		"--cluster-signing-cert-file="+s.path("pki", "ca.crt"), "--cluster-signing-key-file="+s.path("pki", "ca.key"),
		// Each controller requests its own token when it starts. With the default limits they would delay one another.
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--allocate-node-cidrs", "--cluster-cidr="+podRange, "--service-cluster-ip-range="+serviceRange)
	if err != nil {
		return err
	}
	return s.run(ctx, thirdparty.Scheduler, s.Programs[thirdparty.Scheduler],
		"--kubeconfig="+scheduler, "--leader-elect=false", "--secure-port=0", "--profiling=false")
}

// awaitAPIServer waits until the API server's /readyz answers with a status for which enough returns true.
func (s *supervisor) awaitAPIServer(ctx context.Context, enough func(status int) bool) error {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.cert)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		Timeout:   2 * time.Second,
	}
	defer client.CloseIdleConnections()
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var gaveUp error
	err := retry(ctx, 90*time.Second, "the API server", func(ctx context.Context) error {
		if s.ended(thirdparty.Etcd) >= 3 {
			giveUp()
			gaveUp = lost(fmt.Errorf("etcd ends immediately after its start, see %s; its files are in %s",
				s.path("log", thirdparty.Etcd+".log"), s.path("etcd")))
			return gaveUp
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+loopback(s.ports.api)+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if !enough(resp.StatusCode) {
			return fmt.Errorf("/readyz answers %s", resp.Status)
		}
		return nil
	})
	if err != nil {
		return cmp.Or(gaveUp, err)
	}
	return nil
}

// makeSchema makes the API server build the schema of all its kinds, which it does at the first request for it. Clients
// such as Pulumi's Kubernetes provider begin with that request. In AKS, AKS's own clients have done so before.
//
// If makeSchema fails, the first client just waits longer.
func (s *supervisor) makeSchema(ctx context.Context) error {
	return retry(ctx, time.Minute, "the API server's schema", func(context.Context) error {
		_, err := s.client.kinds.OpenAPISchema()
		return err
	})
}

// awaitSchedulable waits until the controller manager has removed the taints of a node that is not yet ready. The
// scheduler would retry a pod that was created before only after a while.
func (s *supervisor) awaitSchedulable(ctx context.Context) error {
	name := nodeName(s.Spec)
	return await(ctx, s.client, time.Minute, "the node to accept pods", nodes, name, func(node *v1.Node) error {
		for _, taint := range node.Spec.Taints {
			if taint.Effect == v1.TaintEffectNoSchedule &&
				(taint.Key == v1.TaintNodeNotReady || taint.Key == v1.TaintNodeUnreachable) {
				return fmt.Errorf("it has the taint %s", taint.Key)
			}
		}
		return nil
	})
}

type files struct{ crt, key string }

func (s *supervisor) certificate(c certificate) (f files, err error) {
	f.crt, f.key, err = s.ca.ensure(c)
	if err != nil {
		err = fmt.Errorf("creating the certificate of %s: %w", c.name, err)
	}
	return f, err
}

// kubeconfigFile writes the kubeconfig of a part of the cluster, with the identity c, and returns its path.
func (s *supervisor) kubeconfigFile(c certificate) (string, error) {
	user, err := s.ca.credentials(c)
	if err != nil {
		return "", err
	}
	content, err := kubeconfig(s.ca, "https://"+loopback(s.ports.api), "cluster", c.user, user)
	if err != nil {
		return "", err
	}
	path := s.path("pki", c.name+".kubeconfig")
	return path, os.WriteFile(path, content, 0o600)
}

// kubeconfig returns a kubeconfig with the credentials of user for cluster at server.
func kubeconfig(ca *authority, server, cluster, user string, credentials *clientcmdapi.AuthInfo) ([]byte, error) {
	pem, err := os.ReadFile(filepath.Join(ca.dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	at := &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: pem}
	return writeKubeconfig(at, cluster, user, credentials)
}

func writeKubeconfig(
	cluster *clientcmdapi.Cluster, name, user string, credentials *clientcmdapi.AuthInfo,
) ([]byte, error) {
	return clientcmd.Write(clientcmdapi.Config{
		CurrentContext: name,
		Clusters:       map[string]*clientcmdapi.Cluster{name: cluster},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: user}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{user: credentials},
	})
}

// credentials returns a kubeconfig user that authenticates with a certificate.
func (a *authority) credentials(c certificate) (*clientcmdapi.AuthInfo, error) {
	crt, key, err := a.ensure(c)
	if err != nil {
		return nil, fmt.Errorf("creating the certificate of %s: %w", c.name, err)
	}
	var user clientcmdapi.AuthInfo
	if user.ClientCertificateData, err = os.ReadFile(crt); err != nil {
		return nil, err
	}
	user.ClientKeyData, err = os.ReadFile(key)
	return &user, err
}

// admin is the supervisor's identity.
var admin = certificate{name: "admin", user: "kubernetes-admin", groups: []string{"system:masters"}}
