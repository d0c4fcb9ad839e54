package containerservice

import (
	"fmt"
	"strings"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// KubernetesVersion is the one that clusters run, whatever they show.
const KubernetesVersion = "1.34.10"

// The versions of Kubernetes that can be asked for: the patches 0-10 of these minor versions, of which the last is the
// one that a minor version stands for.
const oldestMinor, newestMinor, lastPatch = 30, 36, 10

// kubernetesVersion is what a control plane or a pool runs.
type kubernetesVersion struct{ minor, patch int }

func (v kubernetesVersion) String() string { return fmt.Sprintf("1.%d.%d", v.minor, v.patch) }

func (v kubernetesVersion) newerThan(other kubernetesVersion) bool {
	return v.minor > other.minor || v.minor == other.minor && v.patch > other.patch
}

// readVersion reads a version that is kept; what older local clouds wrote is theirs.
func readVersion(text string) kubernetesVersion {
	var v kubernetesVersion
	if _, err := fmt.Sscanf(text, "1.%d.%d", &v.minor, &v.patch); err != nil {
		_, _ = fmt.Sscanf(KubernetesVersion, "1.%d.%d", &v.minor, &v.patch)
	}
	return v
}

// askedVersion is the version that a body asks for. A minor version stands for its last patch, and for the patch that
// is there where only that of another minor version would change anything
// (learn.microsoft.com/azure/aks/supported-kubernetes-versions#alias-minor-version).
func askedVersion(text string, now kubernetesVersion) (kubernetesVersion, error) {
	asked := kubernetesVersion{patch: -1}
	n, _ := fmt.Sscanf(text, "1.%d.%d", &asked.minor, &asked.patch)
	if n == 1 && text == fmt.Sprintf("1.%d", asked.minor) {
		asked.patch = lastPatch
		if asked.minor == now.minor {
			asked.patch = now.patch
		}
	}
	if asked.String() != text && !strings.HasPrefix(asked.String(), text+".") ||
		asked.minor < oldestMinor || asked.minor > newestMinor || asked.patch < 0 || asked.patch > lastPatch {
		return asked, arm.BadRequest("K8sVersionNotSupported", "Version %s is not supported in this region. Please use [az "+
			"aks get-versions] command to get the supported version list in this region. For more information, please check "+
			"https://aka.ms/supported-version-list", text)
	}
	return asked, nil
}

// upgrade refuses to take what is there to an older version, or past a minor one. What it is called is in the refusal.
func (v kubernetesVersion) upgrade(to kubernetesVersion, code, what string) error {
	if v.newerThan(to) || to.minor > v.minor+1 {
		return arm.BadRequest(code, "Upgrade %s version from %s to %s is not allowed, you can only upgrade one minor "+
			"version at a time. Please use [az aks get-upgrades] command to get the supported upgrade paths. For more "+
			"information, please check https://aka.ms/version-skew-policy", what, v, to)
	}
	return nil
}

// mayRun refuses a pool with a version that a control plane does not work with.
func (v kubernetesVersion) mayRun(controlPlane kubernetesVersion) error {
	const skew = 3 // kubernetes.io/releases/version-skew-policy
	var reason string
	switch {
	case v.newerThan(controlPlane):
		reason = fmt.Sprintf("Minor version of node pool version %d is bigger than control plane version %d", v.minor,
			controlPlane.minor)
	case controlPlane.minor > v.minor+skew:
		reason = fmt.Sprintf("Minor version of node pool version %d is more than %d less than control plane version %d",
			v.minor, skew, controlPlane.minor)
	default:
		return nil
	}
	return arm.BadRequest("NodePoolMcVersionIncompatible", "Node pool version %s and control plane version %s are "+
		"incompatible. %s. For more information, please check https://aka.ms/version-skew-policy", v, controlPlane, reason)
}

// fillClusterVersion writes the version of a cluster's control plane: the one that is asked for, else the one of
// before, else the default. Pools stay where they are, as long as it works with them.
func fillClusterVersion(old, properties arm.Object, pools []arm.Object) error {
	was := old["currentKubernetesVersion"]
	now := readVersion(arm.Text(old, "currentKubernetesVersion"))
	dropEmpty(properties, "kubernetesVersion")
	if had := old["kubernetesVersion"]; had != nil {
		arm.SetDefault(properties, "kubernetesVersion", had)
	}
	arm.SetDefault(properties, "kubernetesVersion", KubernetesVersion[:strings.LastIndexByte(KubernetesVersion, '.')])
	asked, err := askedVersion(arm.Text(properties, "kubernetesVersion"), now)
	if err != nil {
		return err
	}
	if was != nil {
		if err := now.upgrade(asked, "OperationNotAllowed", "control plane"); err != nil {
			return err
		}
	}
	for _, pool := range pools {
		if err := readVersion(
			arm.Text(arm.Child(pool, "properties"), "currentOrchestratorVersion"),
		).mayRun(asked); err != nil {
			return err
		}
	}
	properties["currentKubernetesVersion"] = asked.String()
	return nil
}

// fillPoolVersion writes the version of a pool: the one that is asked for, else the one of before, else the cluster's.
func fillPoolVersion(old, properties, cluster arm.Object) error {
	controlPlane := readVersion(arm.Text(cluster, "currentKubernetesVersion"))
	now := controlPlane
	dropEmpty(properties, "orchestratorVersion")
	if old != nil {
		now = readVersion(arm.Text(old, "currentOrchestratorVersion"))
		arm.SetDefault(properties, "orchestratorVersion", old["orchestratorVersion"])
	}
	arm.SetDefault(properties, "orchestratorVersion", cluster["kubernetesVersion"])
	asked, err := askedVersion(arm.Text(properties, "orchestratorVersion"), now)
	if err != nil {
		return err
	}
	if asked.minor == controlPlane.minor && strings.Count(arm.Text(properties, "orchestratorVersion"), ".") == 1 &&
		asked.newerThan(controlPlane) {
		asked = controlPlane // the patch that a minor version stands for in this cluster
	}
	if old != nil {
		if err := now.upgrade(asked, "AgentPoolUpgradeVersionNotAllowed", "agent pool"); err != nil {
			return err
		}
	}
	properties["currentOrchestratorVersion"] = asked.String()
	return asked.mayRun(controlPlane)
}

// dropEmpty has an empty text, which az sends for a version that it was not given, stand for none.
func dropEmpty(properties arm.Object, key string) {
	if properties[key] == "" {
		delete(properties, key)
	}
}
