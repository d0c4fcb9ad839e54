package main

import (
	"fmt"

	"github.com/pulumi/pulumi-pulumiservice/sdk/go/pulumiservice"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newDeployments sets up the deployments of a stack: what they run, and when.
//
// Pull requests are not previewed here. All deployments of a stack sign in with the identity that may change it, and
// the code of a pull request must not.
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
				// The stack's configuration file does not import the environment, so that the stack can also be kept elsewhere.
				pulumi.Sprintf("pulumi config env add --yes --stack %s/%s/%s %s/%s",
					organization, project, name, cfg.EnvironmentProject, environment.Name),
			},
			Options: pulumiservice.OperationContextOptionsArgs{
				// A commit that arrives during a deployment waits, and only the latest waiting commit is deployed.
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
			return fmt.Errorf("scheduling the drift detection of %s: %w", stack.Name, err)
		}
	}
	if stack.Rotation != "" {
		if _, err := pulumiservice.NewDeploymentSchedule(ctx, stack.Name+"-rotation", &pulumiservice.DeploymentScheduleArgs{
			Organization: organization, Project: project, Stack: name,
			ScheduleCron: pulumi.String(stack.Rotation),
			// An update generates new values for the secrets that are due.
			PulumiOperation: pulumiservice.PulumiOperationUpdate,
		}, after); err != nil {
			return fmt.Errorf("scheduling the rotation of %s: %w", stack.Name, err)
		}
	}
	return nil
}
