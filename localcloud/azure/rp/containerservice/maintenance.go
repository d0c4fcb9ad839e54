package containerservice

import (
	"regexp"
	"slices"
	"strings"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

const maintenanceType = clustersType + "/maintenanceConfigurations"

// maintenanceProperties are the checked properties. Other properties are only stored.
type maintenanceProperties struct {
	TimeInWeek []struct {
		Day   string `json:"day"`
		Hours []int  `json:"hourSlots"`
	} `json:"timeInWeek"`
	Window *struct {
		Hours    int    `json:"durationHours"`
		Start    string `json:"startTime"`
		Offset   string `json:"utcOffset"`
		Schedule map[string]struct {
			Days   int    `json:"intervalDays"`
			Weeks  int    `json:"intervalWeeks"`
			Months int    `json:"intervalMonths"`
			Day    string `json:"dayOfWeek"`
			Date   int    `json:"dayOfMonth"`
			Index  string `json:"weekIndex"`
		} `json:"schedule"`
	} `json:"maintenanceWindow"`
}

var (
	clock  = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)
	offset = regexp.MustCompile(`^[+-](0\d|1[0-4]):[0-5]\d$`)
	days   = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
)

// maintenanceNames lists the names of maintenance configurations: for AKS's weekly releases, and for upgrades of the
// cluster and of node images (learn.microsoft.com/azure/aks/planned-maintenance).
var maintenanceNames = []string{"default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"}

func putMaintenance(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(maintenanceType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	var p maintenanceProperties
	if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
		return arm.Reply{}, err
	}
	if !slices.Contains(maintenanceNames, c.Name()) {
		return arm.Reply{}, arm.BadRequest("InvalidParameter", "The maintenance configuration's name '%s' is not one of "+
			"%s.", c.Name(), strings.Join(maintenanceNames, ", "))
	}
	if p.Window == nil {
		if c.Name() != "default" {
			return arm.Reply{}, arm.InvalidParameter("maintenanceWindow", "the configuration %s needs it", c.Name())
		}
		if len(p.TimeInWeek) == 0 {
			return arm.Reply{}, arm.InvalidParameter("timeInWeek", "it is required without maintenanceWindow")
		}
		noHour := func(h int) bool { return h < 0 || h > 23 }
		for _, slot := range p.TimeInWeek {
			if !slices.Contains(days, slot.Day) || slices.ContainsFunc(slot.Hours, noHour) {
				return arm.Reply{}, arm.InvalidParameter("timeInWeek",
					"%s %v must be a day of the week with hours between 0 and 23", slot.Day, slot.Hours)
			}
		}
	} else if err := p.checkWindow(); err != nil {
		return arm.Reply{}, err
	}
	if _, err := c.Written(old, res); err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{Body: res}, nil
}

func (p maintenanceProperties) checkWindow() error {
	w := p.Window
	switch {
	case len(p.TimeInWeek) > 0:
		return arm.InvalidParameter("timeInWeek", "it cannot be set with maintenanceWindow")
	case w.Hours < 4 || w.Hours > 24:
		return arm.InvalidParameter("maintenanceWindow.durationHours", "%d is not between 4 and 24", w.Hours)
	case !clock.MatchString(w.Start):
		return arm.InvalidParameter("maintenanceWindow.startTime", "%q is not a time such as 02:00", w.Start)
	case w.Offset != "" && !offset.MatchString(w.Offset):
		return arm.InvalidParameter("maintenanceWindow.utcOffset", "%q is not an offset such as +05:30", w.Offset)
	case len(w.Schedule) != 1:
		return arm.InvalidParameter("maintenanceWindow.schedule",
			"it must have exactly one of daily, weekly, absoluteMonthly and relativeMonthly")
	}
	for kind, s := range w.Schedule {
		at := "maintenanceWindow.schedule." + kind + "."
		within := func(name string, n, most int) error {
			if n < 1 || n > most {
				return arm.InvalidParameter(at+name, "%d is not between 1 and %d", n, most)
			}
			return nil
		}
		if (kind == "weekly" || kind == "relativeMonthly") && !slices.Contains(days, s.Day) {
			return arm.InvalidParameter(at+"dayOfWeek", "%q is not a day of the week", s.Day)
		}
		switch kind {
		case "daily":
			return within("intervalDays", s.Days, 7)
		case "weekly":
			return within("intervalWeeks", s.Weeks, 4)
		case "absoluteMonthly":
			if err := within("dayOfMonth", s.Date, 31); err != nil {
				return err
			}
			return within("intervalMonths", s.Months, 6)
		case "relativeMonthly":
			if !slices.Contains([]string{"First", "Second", "Third", "Fourth", "Last"}, s.Index) {
				return arm.BadNotOneOf(at+"weekIndex", s.Index, "First, Second, Third, Fourth or Last")
			}
			return within("intervalMonths", s.Months, 6)
		}
	}
	return nil
}
