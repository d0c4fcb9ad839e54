package arm

import (
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/monitor/armmonitor"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/operationalinsights/armoperationalinsights"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armlocks"
)

var (
	settingVersions   = []string{"2021-05-01-preview"}
	ruleVersions      = []string{"2022-06-01", "2023-03-11"}
	workspaceVersions = []string{"2020-08-01", "2020-10-01", "2021-06-01", "2022-10-01", "2023-09-01"}
	lockVersions      = []string{"2016-09-01", "2017-04-01", "2020-05-01"}
)

var extensionTypes = []resourceType{
	{
		name: locksType, versions: lockVersions, valid: regexp.MustCompile(`^[^<>%&:\\?/]{1,90}$`), rule: `1 to 90 characters, and none of <>%&:\?/`,
		get: (*call).getStored, list: (*call).listAtScope,
		put: (*call).putLock, putModel: func() any { return new(armlocks.ManagementLockObject) },
		delete: (*call).deleteStored,
	},
	{
		name: settingsType, versions: settingVersions, valid: regexp.MustCompile(`^[^<>%&:\\?/]{1,260}$`),
		rule: `1 to 260 characters, and none of <>%&:\?/`,
		get:  (*call).getStored, list: (*call).listAtScope,
		put: (*call).putSetting, putModel: func() any { return new(armmonitor.DiagnosticSettingsResource) },
		delete: (*call).deleteStored,
	},
	{
		name: workspacesType, versions: workspaceVersions,
		valid: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]$`),
		rule:  "4 to 63 letters, digits and hyphens, and a letter or digit first and last",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putWorkspace, putModel: func() any { return new(armoperationalinsights.Workspace) },
		delete: (*call).deleteStored,
	},
	{
		name: rulesType, versions: ruleVersions,
		valid: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}[A-Za-z0-9]$`),
		rule:  "3 to 64 letters, digits, hyphens, underscores and periods, and a letter or digit first and last",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putRule, putModel: func() any { return new(armmonitor.DataCollectionRuleResource) },
		delete: (*call).deleteRule,
	},
	{
		name: associationsType, versions: ruleVersions,
		get: (*call).getStored, list: (*call).listAtScope,
		put: (*call).putAssociation, putModel: func() any { return new(armmonitor.DataCollectionRuleAssociationProxyOnlyResource) },
		delete: (*call).deleteStored,
	},
}
