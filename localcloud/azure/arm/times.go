package arm

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Times is how long operations take, by type and by what is done: creating, updating or deleting. What is not in it takes the
// time it needs. Nil is Instant.
type Times map[string]map[string]time.Duration

// Instant has nothing take longer than it needs.
var Instant Times

// azureTimes are those of the public cloud, as somebody was seen to wait for them. They are round numbers between measurements that
// differ by region and day, and good for comparing orders of the same operations with each other; they promise nothing. Where
// no measurement was found in public, the comment says so.
var azureTimes = Times{
	// 2 s and 4 s to create: github.com/turbot/steampipe-plugin-azure/pull/76 and /83. Deletion: no measurement of an empty one.
	groupsType: {creating: 3 * time.Second, updating: 3 * time.Second, deleting: 15 * time.Second},
	// More than 3m10s: github.com/Azure/terraform-azurerm-aks/pull/74. learn.microsoft.com/azure/aks/learn/quick-kubernetes-deploy-cli
	// says "a few minutes". Updates and deletion: no measurement; clusters are seen to take minutes for both.
	clustersType: {creating: 5 * time.Minute, updating: 2 * time.Minute, deleting: 4 * time.Minute},
	// No measurement that tells a pool from its machines, which come up in minutes.
	poolsType: {creating: 3 * time.Minute, updating: time.Minute, deleting: 2 * time.Minute},
	// More than 1m20s and 3m6s with Terraform, which waits for the name to resolve as well: steampipe-plugin-azure/pull/76 and
	// github.com/Azure/terraform-azurerm-avm-res-keyvault-vault/pull/79. Resource Manager's own part: no measurement.
	vaultsType: {creating: 45 * time.Second, updating: 5 * time.Second, deleting: 10 * time.Second},
	// No measurement: requests that Resource Manager passes on to the vault.
	vaultsType + "/secrets": {creating: time.Second, updating: time.Second},
	vaultsType + "/keys":    {creating: 2 * time.Second, updating: 2 * time.Second},
	// 1.5 s until it is answered: github.com/pulumi/pulumi-azure/issues/142; 10 s until others know it:
	// github.com/Azure/azure-cli/issues/8530.
	identitiesType: {creating: 5 * time.Second, updating: 2 * time.Second, deleting: 2 * time.Second},
	// No measurement of one write. Writes to one identity go one by one, see lockIdentity.
	federatedType: {creating: 3 * time.Second, updating: 3 * time.Second, deleting: 3 * time.Second},
	// More than 10 s: github.com/Azure/terraform-azurerm-avm-res-keyvault-vault/pull/79.
	roleAssignmentsType: {creating: 10 * time.Second, deleting: 5 * time.Second},
}

// ParseTimes reads "instant", "azure", or "azure/" and a number that Azure's times are divided by.
func ParseTimes(profile string) (Times, error) {
	name, by, divided := strings.Cut(profile, "/")
	divisor := 1.0
	if divided {
		var err error
		if divisor, err = strconv.ParseFloat(by, 64); err != nil || divisor < 1 || name != "azure" {
			return nil, fmt.Errorf("%q is no profile of times: instant, azure, or azure/100 for a hundredth of it", profile)
		}
	}
	switch name {
	case "", "instant":
		return Instant, nil
	case "azure":
	default:
		return nil, fmt.Errorf("%q is no profile of times: instant, azure, or azure/100 for a hundredth of it", profile)
	}
	times := Times{}
	for kind, all := range azureTimes {
		times[kind] = map[string]time.Duration{}
		for doing, takes := range all {
			times[kind][doing] = time.Duration(float64(takes) / divisor)
		}
	}
	return times, nil
}

// of is how long an operation takes.
func (t Times) of(kind, doing string) time.Duration { return t[kind][doing] }

// doingOf is what a request that was answered at once has done.
func doingOf(method string, status int) string {
	switch {
	case method == http.MethodPut && status == http.StatusCreated:
		return creating
	case method == http.MethodPut, method == http.MethodPatch:
		return updating
	case method == http.MethodDelete && status != http.StatusNoContent:
		return deleting
	}
	return ""
}

// wait returns after a time, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
