package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHeldIsWhatWasDeletedLongAgoAndHasFinalizers(t *testing.T) {
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	object := func(name, namespace string, deleted time.Duration, finalizers string) string {
		metadata := fmt.Sprintf(`"name": %q, "finalizers": [%s]`, name, finalizers)
		if namespace != "" {
			metadata += fmt.Sprintf(`, "namespace": %q`, namespace)
		}
		if deleted > 0 {
			metadata += fmt.Sprintf(`, "deletionTimestamp": %q`, now.Add(-deleted).Format(time.RFC3339))
		}
		return fmt.Sprintf(`{"kind": "ConfigMap", "metadata": {%s}}`, metadata)
	}
	list := `{"items": [` + strings.Join([]string{
		object("there", "ns", 0, `"a.b/c"`),
		object("just-deleted", "ns", heldFor/2, `"a.b/c"`),
		object("without", "ns", 2*heldFor, ``),
		object("waits-for-others", "ns", 2*heldFor, `"foregroundDeletion"`),
		object("held", "ns", 2*heldFor, `"foregroundDeletion", "a.b/c", "d.e/f"`),
		object("held-of-the-cluster", "", 2*heldFor, `"a.b/c"`),
	}, ",") + `]}`
	found, err := heldObjects([]byte(list), now)
	if err != nil {
		t.Fatal(err)
	}
	const want = "ConfigMap ns/held waits for its finalizers: a.b/c, d.e/f\nConfigMap held-of-the-cluster waits for its finalizers: a.b/c"
	if got := errHeld(found).Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := heldObjects([]byte("none"), now); err == nil {
		t.Error("what is no list is read")
	}
}
