package components_test

import (
	"testing"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func TestMaintenance_UsesAKSNames(t *testing.T) {
	e := runProduction(t)
	cluster, upgrades, nodeOS := e.Get(t, "cluster-cluster"), e.Get(t, "cluster-maintenance-upgrades"), e.Get(t,
		"cluster-maintenance-node-os")
	wantInputs(t, upgrades, map[string]any{
		"resourceName": "aks",
		"configName":   "aksManagedAutoUpgradeSchedule",
		"maintenanceWindow.schedule.weekly.dayOfWeek":     "Saturday",
		"maintenanceWindow.schedule.weekly.intervalWeeks": 2.0,
		"maintenanceWindow.startTime":                     "22:30",
		"maintenanceWindow.utcOffset":                     "+05:30",
		"maintenanceWindow.durationHours":                 8.0,
	})
	wantInputs(t, nodeOS, map[string]any{
		"configName": "aksManagedNodeOSUpgradeSchedule",
		"maintenanceWindow.schedule.weekly.dayOfWeek":     "Sunday",
		"maintenanceWindow.schedule.weekly.intervalWeeks": 1.0,
		"maintenanceWindow.startTime":                     "02:00",
		"maintenanceWindow.utcOffset":                     "+00:00",
		"maintenanceWindow.durationHours":                 4.0,
	})
	if !upgrades.WaitsFor(cluster) || upgrades.RPC.GetDeletedWith() != cluster.URN {
		t.Error("a window does not come after the cluster and go with it")
	}
}

func TestMaintenance_Validates(t *testing.T) {
	type args = components.AksWithCsiArgs
	testRules(t, productionArgs, (*args).Validate, []rule[args]{
		{"a weekday", "maintenance.upgrades.weekday", func(a *args) { a.Maintenance.Upgrades.Weekday = "sat" }},
		{"no weekday", "maintenance.nodeOs.weekday", func(a *args) { a.Maintenance.NodeOS.Weekday = "" }},
		{"weeks", "maintenance.nodeOs.intervalWeeks", func(a *args) { a.Maintenance.NodeOS.IntervalWeeks = 5 }},
		{"a time", "maintenance.nodeOs.startTime", func(a *args) { a.Maintenance.NodeOS.StartTime = "24:00" }},
		{"an offset", "maintenance.nodeOs.utcOffset", func(a *args) { a.Maintenance.NodeOS.UTCOffset = "UTC" }},
		{"few hours", "maintenance.nodeOs.durationHours", func(a *args) { a.Maintenance.NodeOS.DurationHours = 3 }},
		{"many hours", "maintenance.nodeOs.durationHours", func(a *args) { a.Maintenance.NodeOS.DurationHours = 25 }},
		{"a window for upgrades that never come", "upgradeChannel", func(a *args) { a.UpgradeChannel = "" }},
		{
			"a window that the node OS does not keep",
			"nodeOsUpgradeChannel",
			func(a *args) { a.NodeOSUpgradeChannel = "Unmanaged" },
		},
	})
}
