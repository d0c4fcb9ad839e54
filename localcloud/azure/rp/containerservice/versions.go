package containerservice

import (
	"fmt"
	"strings"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// KubernetesVersion is the version that all clusters run, whatever version they report.
const KubernetesVersion = "1.34.10"

// The supported versions of Kubernetes are the patches 0 to lastPatch of the minor versions from oldestMinor to
// newestMinor. A minor version alone selects the last patch.
const oldestMinor, newestMinor, lastPatch = 30, 36, 10

// kubernetesVersion is the version of a control plane or a pool.
type kubernetesVersion struct{ minor, patch int }

func (v kubernetesVersion) String() string { return fmt.Sprintf("1.%d.%d", v.minor, v.patch) }

func (v kubernetesVersion) newerThan(other kubernetesVersion) bool {
	return v.minor > other.minor || v.minor == other.minor && v.patch > other.patch
}

// readVersion parses a stored version. It returns KubernetesVersion for other texts, which older local clouds wrote.
func readVersion(text string) kubernetesVersion {
	var v kubernetesVersion
	if _, err := fmt.Sscanf(text, "1.%d.%d", &v.minor, &v.patch); err != nil {
		_, _ = fmt.Sscanf(KubernetesVersion, "1.%d.%d", &v.minor, &v.patch)
	}
	return v
}

// askedVersion returns the version that a body requests. A minor version alone selects its last patch, or the current
// patch if the minor version does not change
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
	wellFormed := asked.String() == text || strings.HasPrefix(asked.String(), text+".")
	minorOffered := oldestMinor <= asked.minor && asked.minor <= newestMinor
	patchOffered := 0 <= asked.patch && asked.patch <= lastPatch
	if !wellFormed || !minorOffered || !patchOffered {
		return asked, arm.BadRequest("K8sVersionNotSupported", "Version %s is not supported in this region. Please use "+
			"[az aks get-versions] command to get the supported version list in this region. For more information, please "+
			"check https://aka.ms/supported-version-list", text)
	}
	return asked, nil
}

// upgrade returns an error with a code if a change of version is a downgrade or skips a minor version. what is the name
// of the upgraded part in the message.
func (v kubernetesVersion) upgrade(to kubernetesVersion, code, what string) error {
	if v.newerThan(to) || to.minor > v.minor+1 {
		return arm.BadRequest(code, "Upgrade %s version from %s to %s is not allowed, you can only upgrade one minor "+
			"version at a time. Please use [az aks get-upgrades] command to get the supported upgrade paths. For more "+
			"information, please check https://aka.ms/version-skew-policy", what, v, to)
	}
	return nil
}

// mayRun returns an error if a pool of the version does not work with a control plane.
func (v kubernetesVersion) mayRun(controlPlane kubernetesVersion) error {
	const skew = 3 // kubernetes.io/releases/version-skew-policy
	var reason string
	switch {
	case v.newerThan(controlPlane):
		reason = fmt.Sprintf("Minor version of node pool version %d is bigger than control plane version %d",
			v.minor, controlPlane.minor)
	case controlPlane.minor > v.minor+skew:
		reason = fmt.Sprintf("Minor version of node pool version %d is more than %d less than control plane version %d",
			v.minor, skew, controlPlane.minor)
	default:
		return nil
	}
	return arm.BadRequest("NodePoolMcVersionIncompatible", "Node pool version %s and control plane version %s are "+
		"incompatible. %s. For more information, please check https://aka.ms/version-skew-policy", v, controlPlane, reason)
}

// fillClusterVersion sets the version of a cluster's control plane: the requested version, else the current one, else
// the default. The pools keep their versions, which must work with it.
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
		version := readVersion(arm.Text(arm.Child(pool, "properties"), "currentOrchestratorVersion"))
		if err := version.mayRun(asked); err != nil {
			return err
		}
	}
	properties["currentKubernetesVersion"] = asked.String()
	return nil
}

// fillPoolVersion sets the version of a pool: the requested version, else the current one, else the cluster's.
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
	minorOnly := strings.Count(arm.Text(properties, "orchestratorVersion"), ".") == 1
	if minorOnly && asked.minor == controlPlane.minor && asked.newerThan(controlPlane) {
		asked = controlPlane // a pool cannot have a newer patch than its cluster
	}
	if old != nil {
		if err := now.upgrade(asked, "AgentPoolUpgradeVersionNotAllowed", "agent pool"); err != nil {
			return err
		}
	}
	properties["currentOrchestratorVersion"] = asked.String()
	return asked.mayRun(controlPlane)
}

// dropEmpty deletes an empty property. az sends an empty version if the user gave none.
func dropEmpty(properties arm.Object, key string) {
	if properties[key] == "" {
		delete(properties, key)
	}
}
