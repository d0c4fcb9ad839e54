package main

import (
	"fmt"

	"github.com/pulumi/pulumi-pulumiservice/sdk/go/pulumiservice"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newDeployments sets up the deployments of a stack: what they run, and when.
//
// Pull requests are not previewed here. All deployments of a stack sign in as the identity that may change it, and the
// code of a pull request must not.
func newDeployments(ctx *pulumi.Context, cfg *config, stack stackConfig, environment *pulumiservice.Environment) error {
	organization, project, name := pulumi.String(cfg.Organization), pulumi.String(cfg.Project), pulumi.String(stack.Name)
	git := pulumiservice.DeploymentSettingsGitSourceArgs{}
	if stack.Branch != "" {
		git.Branch = pulumi.String("refs/heads/" + stack.Branch)
	} else {
		git.Commit = pulumi.String(stack.Commit)
	}
	settings, err := pulumiservice.NewDeploymentSettings(ctx, stack.Name, &pulumiservice.DeploymentSettingsArgs{
		Organization:  organization,
		Project:       project,
		Stack:         name,
		SourceContext: pulumiservice.DeploymentSettingsSourceContextArgs{Git: git},
		Vcs: pulumiservice.DeploymentSettingsVcsArgs{
			Provider:            pulumi.String("github"),
			Repository:          pulumi.String(cfg.Repository),
			DeployCommits:       pulumi.Bool(stack.DeployCommits),
			PreviewPullRequests: pulumi.Bool(false),
			PullRequestTemplate: pulumi.Bool(false),
		},
		CacheOptions: pulumiservice.DeploymentSettingsCacheOptionsArgs{Enable: pulumi.Bool(true)},
		OperationContext: pulumiservice.DeploymentSettingsOperationContextArgs{
			PreRunCommands: pulumi.StringArray{
				pulumi.String("XDG_BIN_HOME=/usr/local/bin deploy/ci/install.sh"), // kubelogin
				// The file of the stack's configuration lacks it, so that the stack can be kept elsewhere, too.
				pulumi.Sprintf("pulumi config env add --yes --stack %s/%s/%s %s/%s",
					organization, project, name, cfg.EnvironmentProject, environment.Name),
			},
			Options: pulumiservice.OperationContextOptionsArgs{
				// A commit that came while another is brought up waits for its turn, and only the last that waits has one.
				SkipIntermediateDeployments: pulumi.Bool(true),
			},
		},
	})
	if err != nil {
		return fmt.Errorf("setting up the deployments of %s: %w", stack.Name, err)
	}
	after := pulumi.DependsOn([]pulumi.Resource{settings}) // which Pulumi Cloud refuses a schedule without
	if stack.Drift != "" {
		if _, err := pulumiservice.NewDriftSchedule(ctx, stack.Name, &pulumiservice.DriftScheduleArgs{
			Organization: organization, Project: project, Stack: name,
			ScheduleCron:  pulumi.String(stack.Drift),
			AutoRemediate: pulumi.Bool(false), // who has changed something may have had a reason
		}, after); err != nil {
			return fmt.Errorf("scheduling the look for drift of %s: %w", stack.Name, err)
		}
	}
	if stack.Rotation != "" {
		if _, err := pulumiservice.NewDeploymentSchedule(ctx, stack.Name+"-rotation", &pulumiservice.DeploymentScheduleArgs{
			Organization: organization, Project: project, Stack: name,
			ScheduleCron: pulumi.String(stack.Rotation),
			// An update gives new values to the secrets whose time has come.
			PulumiOperation: pulumiservice.PulumiOperationUpdate,
		}, after); err != nil {
			return fmt.Errorf("scheduling the rotation of %s: %w", stack.Name, err)
		}
	}
	return nil
}
