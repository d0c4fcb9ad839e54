package components

import (
	"fmt"
	"regexp"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Defaults of MaintenanceWindowArgs.
const (
	defaultWindowStart  = "02:00"
	defaultWindowOffset = "+00:00"
	defaultWindowHours  = 4
)

var (
	timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	utcOffset = regexp.MustCompile(`^[+-](0[0-9]|1[0-4]):[0-5][0-9]$`)
)

// MaintenanceArgs are the times at which AKS may upgrade automatically
// (https://learn.microsoft.com/azure/aks/planned-maintenance).
type MaintenanceArgs struct {
	// Upgrades is the window for the cluster's upgrade channel, which must not be none. Defaults to any time.
	Upgrades *MaintenanceWindowArgs `pulumi:"upgrades,optional"`
	// NodeOS is the window for the node OS upgrade channel, which must be SecurityPatch or NodeImage, or omitted. Defaults
	// to any time.
	NodeOS *MaintenanceWindowArgs `pulumi:"nodeOs,optional"`
}

// MaintenanceWindowArgs describe a window that recurs every week, or every few weeks.
type MaintenanceWindowArgs struct {
	// Weekday is Monday, Tuesday, Wednesday, Thursday, Friday, Saturday or Sunday. Required.
	Weekday Weekday `pulumi:"weekday"`
	// IntervalWeeks is the number of weeks from one window to the next, 1-4. Defaults to 1.
	IntervalWeeks int `pulumi:"intervalWeeks,optional"`
	// StartTime is 00:00-23:59, in the time zone of UTCOffset. Defaults to 02:00.
	StartTime string `pulumi:"startTime,optional"`
	// UTCOffset is the offset of StartTime from UTC, such as +05:30 or -07:00. Defaults to +00:00.
	UTCOffset string `pulumi:"utcOffset,optional"`
	// DurationHours is the window's length in hours, 4-24. Defaults to 4.
	DurationHours int `pulumi:"durationHours,optional"`
}

// newMaintenance creates the windows, which AKS finds by their names. They are deleted with the cluster.
func (c *AksWithCsi) newMaintenance(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, cluster *containerservice.ManagedCluster,
) error {
	if args.Maintenance == nil {
		return nil
	}
	for _, window := range []struct {
		suffix, config string
		args           *MaintenanceWindowArgs
	}{
		{"upgrades", "aksManagedAutoUpgradeSchedule", args.Maintenance.Upgrades},
		{"node-os", "aksManagedNodeOSUpgradeSchedule", args.Maintenance.NodeOS},
	} {
		if window.args == nil {
			continue
		}
		configuration := &containerservice.MaintenanceConfigurationArgs{
			ResourceGroupName: args.ResourceGroupName,
			ResourceName:      cluster.Name,
			ConfigName:        pulumi.String(window.config),
			MaintenanceWindow: containerservice.MaintenanceWindowArgs{
				Schedule: containerservice.ScheduleArgs{Weekly: containerservice.WeeklyScheduleArgs{
					DayOfWeek:     pulumi.String(window.args.Weekday),
					IntervalWeeks: pulumi.Int(withDefault(window.args.IntervalWeeks, 1)),
				}},
				StartTime:     pulumi.String(withDefault(window.args.StartTime, defaultWindowStart)),
				UtcOffset:     pulumi.String(withDefault(window.args.UTCOffset, defaultWindowOffset)),
				DurationHours: pulumi.Int(withDefault(window.args.DurationHours, defaultWindowHours)),
			},
		}
		_, err := containerservice.NewMaintenanceConfiguration(ctx, name+"-maintenance-"+window.suffix, configuration,
			pulumi.Parent(c), pulumi.DeletedWith(cluster))
		if err != nil {
			return fmt.Errorf("creating the maintenance window %s: %w", window.config, err)
		}
	}
	return nil
}

// validateUpgrades checks the upgrade channels, and their windows.
func (v *violations) validateUpgrades(args *AksWithCsiArgs) {
	channel := withDefault(args.UpgradeChannel, UpgradeNone)
	oneOf(v, "upgradeChannel", channel, UpgradeRapid, UpgradeStable, UpgradePatch, UpgradeNodeImage, UpgradeNone)
	if args.NodeOSUpgradeChannel != "" {
		oneOf(v, "nodeOsUpgradeChannel", args.NodeOSUpgradeChannel,
			NodeOSNone, NodeOSUnmanaged, NodeOSSecurityPatch, NodeOSNodeImage)
		// https://learn.microsoft.com/azure/aks/auto-upgrade-node-os-image
		v.check(channel != UpgradeNodeImage || args.NodeOSUpgradeChannel == NodeOSNodeImage, "nodeOsUpgradeChannel",
			args.NodeOSUpgradeChannel,
			"NodeImage, or nothing, with the upgrade channel node-image")
	}
	v.validateVersion(args.KubernetesVersion, channel)
	if args.Maintenance == nil {
		return
	}
	if window := args.Maintenance.Upgrades; window != nil {
		v.validateWindow("maintenance.upgrades", *window)
		v.check(channel != UpgradeNone, "upgradeChannel", channel,
			"rapid, stable, patch, node-image, because maintenance.upgrades is given")
	}
	if window := args.Maintenance.NodeOS; window != nil {
		v.validateWindow("maintenance.nodeOs", *window)
		v.check(args.NodeOSUpgradeChannel != NodeOSNone && args.NodeOSUpgradeChannel != NodeOSUnmanaged,
			"nodeOsUpgradeChannel",
			args.NodeOSUpgradeChannel, "SecurityPatch, NodeImage, because maintenance.nodeOs is given")
	}
}

// validateVersion ensures that the program does not ask for an older version than the channel has upgraded to: AKS
// never downgrades (https://learn.microsoft.com/azure/aks/auto-upgrade-cluster).
func (v *violations) validateVersion(version string, channel UpgradeChannel) {
	switch {
	case version == "":
	case channel == UpgradeRapid || channel == UpgradeStable:
		v.add("kubernetesVersion", version, "nothing with the upgrade channel "+string(channel)+", which chooses the version")
	case channel == UpgradePatch:
		v.match(minorVersion, "kubernetesVersion", version,
			"a minor version such as 1.34 with the upgrade channel patch, which chooses the patch version")
	default:
		v.match(kubernetesVersion, "kubernetesVersion", version, "a version such as 1.34 or 1.34.1")
	}
}

func (v *violations) validateWindow(path string, w MaintenanceWindowArgs) {
	oneOf(v, path+".weekday", w.Weekday, Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday)
	weeks := withDefault(w.IntervalWeeks, 1)
	v.check(weeks >= 1 && weeks <= 4, path+".intervalWeeks", weeks, "1-4 weeks")
	v.match(timeOfDay, path+".startTime", withDefault(w.StartTime, defaultWindowStart), "00:00-23:59")
	v.match(utcOffset, path+".utcOffset", withDefault(w.UTCOffset, defaultWindowOffset),
		"an offset from UTC such as +05:30 or -07:00")
	hours := withDefault(w.DurationHours, defaultWindowHours)
	v.check(hours >= 4 && hours <= 24, path+".durationHours", hours, "4-24 hours")
}
