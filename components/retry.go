package components

import (
	"fmt"
	"regexp"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/internal/hooknames"
)

// retryDelay returns how long to wait after a number of tries: 1, 2, 4 and 8 seconds, then 10. The engine allows a
// hundred tries. It gives up after ten minutes, the longest time a role assignment takes to take effect; there is no
// way to ask Azure whether it has:
// https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---role-assignment-changes-are-not-being-detected
func retryDelay(tries int) (wait time.Duration, again bool) {
	return min(time.Second<<min(tries-1, 4), 10*time.Second), tries <= 64
}

// createdThenFailed matches how the engine reports the errors of a resource that was created and then failed. A retry
// would find the resource in the way, and only without a retry does the state keep it
// (https://github.com/pulumi/pulumi/issues/24683).
var createdThenFailed = regexp.MustCompile(`(?m)^\d+ errors? occurred:`)

// retryUntilRole returns the option for a resource that requires a role assigned just before. If creating it fails, and
// refused reports that the role is missing, Pulumi retries until the role takes effect.
func retryUntilRole(ctx *pulumi.Context, c pulumi.Resource, name string,
	refused func(err string) bool) (pulumi.ResourceOption, error) {
	return retryOption(ctx, c, name, func(args *pulumi.ErrorHookArgs) (early string, err error) {
		if refused(args.Errors[0]) {
			early = lateRole
		}
		return early, nil
	})
}

const lateRole = "is refused until a role that was just assigned takes effect, which may take ten minutes"

// retryOption returns the option for a resource whose creation may fail because something else is late. why returns
// what it is waiting for, or the empty string if the failure is final. The engine logs each retry, and the reason is
// logged once on the component.
func retryOption(ctx *pulumi.Context, c pulumi.Resource, name string,
	why func(*pulumi.ErrorHookArgs) (string, error)) (pulumi.ResourceOption, error) {
	// An older CLI does not know the hook: the SDK would then not register the resource, and the engine would delete an
	// existing one.
	if err := ctx.RequirePulumiVersion(">=3.219.0"); err != nil {
		return nil, fmt.Errorf("registering the retries of %s: %w", name, err)
	}
	again := func(args *pulumi.ErrorHookArgs) (bool, error) {
		wait, more := retryDelay(len(args.Errors))
		if !more || ctx.DryRun() || args.FailedOperation != "create" || createdThenFailed.MatchString(args.Errors[0]) {
			return false, nil
		}
		early, err := why(args)
		if early == "" || err != nil {
			return false, err
		}
		if len(args.Errors) == 1 {
			_ = ctx.Log.Info(args.Name+" "+early+"; retrying until then", &pulumi.LogArgs{Resource: c})
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
		return nil, fmt.Errorf("registering the retries of %s: %w", name, err)
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{OnError: []*pulumi.ErrorHook{hook}}), nil
}
