package docs

import (
	"slices"
	"strings"
	"testing"
)

// others are the messages in docs/troubleshooting.md that only Azure, Kubernetes, Pulumi and other programs print.
var others = []string{
	// Azure
	"AADSTS700024", "AADSTS700211", "AADSTS700212", "AADSTS700213",
	"KeyManagedByKeyVault", "KeyNotFound", "SecretManagedByKeyVault", "SecretNotFound",
	// Kubernetes, containers, the loader
	"GLIBC_… not found", "Permission denied", "no such file or directory",
	// Pulumi and azure-native
	"Failed to read resource after Create", "Status=503", "[mandatory]", "cannot parse invalid wire-format data",
	"failed to load checkpoint: EOF", "grpc: the client connection is closing", "linking package",
	"no resource plugin '…' found",
	"no stack selected", "the stack is currently locked by 1 lock(s)", "vault-value-…",
	"unable to find resource type … in resource provider …",
	// the SDKs that Pulumi's secrets providers and az use
	"DefaultAzureCredential: failed to acquire a token", "No module named 'azure.keyvault.v7_0'",
	"has no attribute 'config'",
}

func TestMessages_AreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	texts, err := messages(root)
	if err != nil {
		t.Fatal(err)
	}
	var quoted []string
	page := allPages(t)["docs/troubleshooting.md"]
	if page == nil {
		t.Fatal("there is no docs/troubleshooting.md")
	}
	for _, r := range page.rows {
		for _, message := range r.code {
			quoted = append(quoted, message)
			if slices.Contains(others, message) {
				continue
			}
			parts := pieces(message)
			if len(parts) == 0 {
				t.Errorf("docs/troubleshooting.md:%d: %q has no words to search for", r.line, message)
			}
			for _, part := range parts {
				if !strings.Contains(texts, part) {
					t.Errorf("docs/troubleshooting.md:%d: no program of this repository prints %q of %q: quote what it prints now, "+
						"or list the message in others if it is not ours", r.line, part, message)
				}
			}
		}
	}
	if len(quoted) < 80 {
		t.Errorf("only %d messages found in docs/troubleshooting.md", len(quoted))
	}
	for _, message := range others {
		if !slices.Contains(quoted, message) {
			t.Errorf("%q is not in docs/troubleshooting.md: remove it from others", message)
		}
	}
}

func TestPieces(t *testing.T) {
	t.Parallel()
	for message, want := range map[string][]string{
		"the key … is in the vault, and it": {"the key", "is in the vault, and it"},
		"`has no Pulumi.yaml`":              {"`has no Pulumi.yaml`"},
		"[mandatory] RULE":                  {"mandatory"},
		`secret "…" not found`:              {"secret", "not found"},
		"AADSTS700213":                      {"AADSTS700213"},
	} {
		if got := pieces(message); !slices.Equal(got, want) {
			t.Errorf("pieces(%q) = %q, want %q", message, got, want)
		}
	}
}
