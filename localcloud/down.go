package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// down destroys every stack and removes the local cloud. It works also when half of that is gone: what cannot be destroyed
// any more, or need not be, is removed with the cloud that it was in.
func (l *localCloud) down(ctx context.Context, skipDestroy bool) error {
	if _, err := os.Stat(l.home); errors.Is(err, os.ErrNotExist) {
		say("there is no local cloud at %s", l.home)
		return nil
	}
	done, err := l.alone()
	if err != nil {
		return err
	}
	defer done()
	var stacks []string
	if !skipDestroy {
		stacks = l.stackNames()
	}
	for _, name := range stacks {
		if err := l.destroy(ctx, name); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			say("stack %s could not be destroyed and goes with its cloud: %v", name, err)
		}
	}
	if len(stacks) > 0 {
		if err := l.sayWhatIsLeft(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			say("what is left in Azure is not known: %v", err)
		}
	}
	if err := l.endEngines(); err != nil {
		return err
	}
	if err := l.stop(ctx); err != nil {
		return err
	}
	kube.Sweep(l.path(kubeDir))
	if err := errors.Join(os.RemoveAll(l.home), os.Remove(l.home+".lock")); err != nil {
		return fmt.Errorf("removing the local cloud's state: %w", err)
	}
	say("the local cloud is down and its state removed; third-party programs stay in %s", l.cache)
	return nil
}

// sayWhatIsLeft names the resource groups that would still be there if this were Azure: somebody else's, or forgotten by a stack.
func (l *localCloud) sayWhatIsLeft(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // faults may have it wait
	defer cancel()
	r, err := l.running()
	if err != nil {
		return err
	}
	azure, err := azureClients(r)
	if err != nil {
		return err
	}
	var names []string
	for groups := azure.NewResourceGroupsClient().NewListPager(nil); groups.More(); {
		page, err := groups.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("looking for what is left: %w", err)
		}
		for _, group := range page.Value {
			names = append(names, *group.Name)
		}
	}
	if len(names) > 0 {
		say("left in Azure, and gone with the local cloud: the resource groups %s", strings.Join(names, ", "))
	}
	return nil
}

func (l *localCloud) destroy(ctx context.Context, name string) error {
	var have setup
	if err := readJSON(l.path(setupFile), &have); err != nil {
		return err
	}
	for name, program := range have.Programs {
		if _, err := os.Stat(program); err != nil && !thirdparty.IsLater(name) {
			return fmt.Errorf("a program is gone: %w", err)
		}
	}
	r, err := l.start(ctx)
	if err != nil {
		return err
	}
	s, err := l.stack(name, &have)
	if err != nil {
		return err
	}
	s.join(r)
	return s.destroy(ctx)
}
