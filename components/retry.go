package components

import (
	"fmt"
	"regexp"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/internal/hooknames"
)

// lateRoleWait is how long to wait after a number of tries, of which the engine allows a hundred: 1, 2, 4 and 8
// seconds, then 10. It is none once they come to ten minutes, which a role takes Azure at most to honour; whether it does
// nobody can ask:
// https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---role-assignment-changes-are-not-being-detected
func lateRoleWait(tries int) (wait time.Duration, again bool) {
	return min(time.Second<<min(tries-1, 4), 10*time.Second), tries <= 64
}

// partlyMade is how the engine puts the reasons of a resource that was made and then failed. The state keeps it only if
// it is not tried again, since that would find it there (https://github.com/pulumi/pulumi/issues/24683).
var partlyMade = regexp.MustCompile(`(?m)^\d+ errors? occurred:`)

// untilHonoured is the option of what takes a role that has just been assigned: where creating it fails and refused
// finds that this is for want of the role, Pulumi tries again until Azure honours it.
func untilHonoured(ctx *pulumi.Context, c pulumi.Resource, name string,
	refused func(err string) bool) (pulumi.ResourceOption, error) {
	return tryingAgain(ctx, c, name, func(args *pulumi.ErrorHookArgs) (early string, err error) {
		if refused(args.Errors[0]) {
			early = lateRole
		}
		return early, nil
	})
}

const lateRole = "is refused for want of a role that was just assigned, which may take Azure ten minutes to honour"

// tryingAgain is the option of what may fail because something else comes late: where creating it fails, why says what
// it is too early for, or nothing if it may as well fail. The engine says at each time that it tries again, and why is
// said of the component.
func tryingAgain(ctx *pulumi.Context, c pulumi.Resource, name string,
	why func(*pulumi.ErrorHookArgs) (string, error)) (pulumi.ResourceOption, error) {
	// The SDK does not register a resource whose hook the CLI does not know, and the engine would delete the one that is
	// there.
	if err := ctx.RequirePulumiVersion(">=3.219.0"); err != nil {
		return nil, fmt.Errorf("having %s wait for what is late: %w", name, err)
	}
	again := func(args *pulumi.ErrorHookArgs) (bool, error) {
		wait, more := lateRoleWait(len(args.Errors))
		if !more || ctx.DryRun() || args.FailedOperation != "create" || partlyMade.MatchString(args.Errors[0]) {
			return false, nil
		}
		early, err := why(args)
		if early == "" || err != nil {
			return false, err
		}
		if len(args.Errors) == 1 {
			_ = ctx.Log.Info(args.Name+" "+early+"; trying again until then", &pulumi.LogArgs{Resource: c})
		}
		select {
		case <-ctx.Context().Done():
			return false, ctx.Context().Err()
		case <-time.After(wait):
			return true, nil
		}
	}
	hook, err := ctx.RegisterErrorHook(hooknames.New(ctx.Context(), name+"-on-error"), again)
	if err != nil {
		return nil, fmt.Errorf("having %s wait for what is late: %w", name, err)
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{OnError: []*pulumi.ErrorHook{hook}}), nil
}
