package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mountedPods is the number of pods that are created at once.
const mountedPods = 40

// mounts creates pods at once that mount a secret and a key, like the dev stack's pod, and counts their requests to
// Azure. The minimum is one token exchange for each mount and one read for each object.
func mounts(ctx context.Context, checkout, dir string) error {
	fmt.Printf("\n| %d pods at once | until all have them | pods a minute | exchanges a mount | "+
		"looks at Entra's metadata | refusals that say where to sign in | reads | Entra's looks at the issuer | others |\n"+
		"|---|---:|---:|---:|---:|---:|---:|---:|---:|\n", mountedPods)
	nodes := []string{"stand-in"}
	localcloud := filepath.Join(checkout, "bin", "localcloud")
	if _, err := output(ctx, checkout, nil, localcloud, "can-run-real-node"); err == nil {
		nodes = append(nodes, "real")
	}
	for i, node := range nodes {
		all, err := mountsOn(ctx, cloud{checkout, filepath.Join(dir, fmt.Sprint("v", i))}, node)
		if err != nil {
			return fmt.Errorf("%s node: %w", node, err)
		}
		for _, one := range all {
			fmt.Printf("| %s node, %s | %.1f s | %.0f |", node, one.what, one.took.Seconds(), mountedPods/one.took.Minutes())
			for _, kind := range []string{exchange, discovery, challenge, read, issuer, other} {
				fmt.Printf(" %.2f |", one.each(kind))
			}
			fmt.Println()
		}
	}
	return nil
}

// checkMounts compares the requests to Azure on a stand-in node with the minimum, and their total with earlier runs.
func checkMounts(ctx context.Context, checkout, dir string) ([]ratio, error) {
	all, err := mountsOn(ctx, cloud{checkout, filepath.Join(dir, "v")}, "stand-in")
	if err != nil {
		return nil, err
	}
	m := all[len(all)-1]
	if m.each(exchange) < 1 || m.each(read) < 2 {
		return nil, fmt.Errorf("the log has fewer requests than mounts need: %v", m.calls)
	}
	return []ratio{
		{"mounts: exchanges, by mounts", m.each(exchange), 1.05},
		{"mounts: reads, by objects", m.each(read) / 2, 1.05},
		{"mounts: all requests, by mounts", m.each(exchange, discovery, challenge, read, issuer, other), 9.5},
	}, nil
}

// mounted is how long it took to mount a volume into the pods, and the number of requests by kind.
type mounted struct {
	what  string
	took  time.Duration
	calls map[string]int
}

// each returns the average number of requests of some kinds for each pod.
func (m mounted) each(kinds ...string) float64 {
	calls := 0
	for _, kind := range kinds {
		calls += m.calls[kind]
	}
	return float64(calls) / mountedPods
}

func mountsOn(ctx context.Context, c cloud, node string) (all []mounted, err error) {
	defer func() { err = errors.Join(err, c.down()) }()
	// Without a rotation, whose requests would count.
	if err := c.up(ctx, "--node="+node, "--config", "rotationPollInterval=1h"); err != nil {
		return nil, err
	}
	printed, err := c.run(ctx, "", "pulumi", "stack", "output", "--json")
	if err != nil {
		return nil, err
	}
	stack, err := outputsOf(printed)
	if err != nil {
		return nil, err
	}
	workload := stack.Workloads[devWorkload]
	volumes := []map[string]any{{}, {"emptyDir": map[string]any{}}, {"csi": map[string]any{
		"driver": "secrets-store.csi.k8s.io", "readOnly": true,
		"volumeAttributes": map[string]any{"secretProviderClass": workload.SecretProviderClass},
	}}}
	for i, name := range []string{"", "an empty folder", "the secret and the key"} {
		if name == "" || node != "real" && i < 2 {
			continue // a stand-in node mounts only the driver's volumes
		}
		before, err := os.ReadFile(c.log())
		if err != nil {
			return nil, err
		}
		took, err := c.pods(ctx, node, fmt.Sprint("bench-", i), workload.Namespace, workload.ServiceAccounts[0], volumes[i])
		if err != nil {
			return nil, err
		}
		after, err := os.ReadFile(c.log())
		if err != nil {
			return nil, err
		}
		all = append(all, mounted{name, took, count(string(after[len(before):]))})
	}
	return all, nil
}

// pods creates pods with a volume and returns how long it takes until each has read its files.
func (c cloud) pods(
	ctx context.Context, node, label, namespace, account string, volume map[string]any,
) (time.Duration, error) {
	type object = map[string]any
	volume["name"] = "v"
	// On a stand-in node, which runs no containers, a pod is ready when its volume is mounted.
	until := "condition=Ready"
	if node == "real" {
		until = "jsonpath={.status.phase}=Succeeded"
	}
	script := "test -d /mnt/v"
	if volume["csi"] != nil {
		script = "for f in /mnt/v/*; do test -s $f || exit 1; done"
	}
	var items []object
	for i := range mountedPods {
		items = append(items, object{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": object{"name": fmt.Sprintf("%s-%d", label, i), "namespace": namespace, "labels": object{"bench": label}},
			"spec": object{
				"serviceAccountName":            account,
				"automountServiceAccountToken":  false,
				"restartPolicy":                 "Never",
				"terminationGracePeriodSeconds": 0,
				"securityContext": object{
					"runAsNonRoot":   true,
					"runAsUser":      65534,
					"seccompProfile": object{"type": "RuntimeDefault"},
				},
				"volumes": []object{volume},
				"containers": []object{{
					"name": "read", "image": "busybox:1.35.0", "command": []string{"sh", "-c", script},
					"volumeMounts":    []object{{"name": "v", "mountPath": "/mnt/v", "readOnly": true}},
					"securityContext": object{"allowPrivilegeEscalation": false, "capabilities": object{"drop": []string{"ALL"}}},
				}},
			},
		})
	}
	manifest, err := json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := c.run(ctx, string(manifest), "kubectl", "create", "--filename=-"); err != nil {
		return 0, err
	}
	_, err = c.run(ctx, "", "kubectl", "wait", "--for="+until, "--timeout=5m", "--namespace", namespace, "pod",
		"--selector=bench="+label)
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	_, err = c.run(ctx, "", "kubectl", "delete", "pod", "--namespace", namespace, "--selector=bench="+label)
	return took, err
}

// The kinds of requests: of tokens, of Entra ID's metadata, rejected by Key Vault with an authentication challenge, of
// objects, of the cluster's issuer by Entra ID, and others.
const (
	exchange  = "exchange"
	discovery = "discovery"
	challenge = "challenge"
	read      = "read"
	issuer    = "issuer"
	other     = "other"
)

var logged = regexp.MustCompile(`msg=request method=(\S+) host=(\S+) path=(\S+) status=(\S+)`)

// count counts the requests in a part of the local cloud's log by kind.
func count(log string) map[string]int {
	calls := map[string]int{}
	for _, match := range logged.FindAllStringSubmatch(log, -1) {
		host, path, status := match[2], match[3], match[4]
		switch vault := strings.HasSuffix(host, ".vault.azure.net"); {
		case vault && status == "200":
			calls[read]++
		case vault && status == "401":
			calls[challenge]++
		case host == "login.microsoftonline.com" && strings.HasSuffix(path, "/oauth2/v2.0/token"):
			calls[exchange]++
		case host == "login.microsoftonline.com":
			calls[discovery]++
		case strings.HasSuffix(host, ".oic.prod-aks.azure.com"):
			calls[issuer]++
		default:
			calls[other]++
		}
	}
	return calls
}
