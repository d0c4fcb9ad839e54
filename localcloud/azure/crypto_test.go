package azure_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

const (
	cryptoUser        = "12338af0-0e69-4776-bea7-57ae8d297424"
	encryptionService = "e147488a-f6f5-4113-8e2d-b22465e65bf6"
)

// keysOf returns a client of a new identity with a role on the vault.
func (w *world) keysOf(name, role string) *azkeys.Client {
	w.Helper()
	made := w.identity("g", name)
	w.must(w.federate("g", name, "fic", w.issuer, subject))
	if role != "" {
		_, err := w.assign(w.vaultID, role, *made.Properties.PrincipalID, servicePrincipal)
		w.must(err)
	}
	token := filepath.Join(w.TempDir(), "token")
	w.must(os.WriteFile(token, []byte(w.token(nil, nil)), 0o600))
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: w.options(), ClientID: *made.Properties.ClientID, TenantID: azure.TenantID, TokenFilePath: token,
	})
	w.must(err)
	client, err := azkeys.NewClient(w.uri, credential, &azkeys.ClientOptions{ClientOptions: w.options()})
	w.must(err)
	return client
}

func (w *world) rsaKey(name string, parameters azkeys.CreateKeyParameters) *azkeys.Client {
	w.Helper()
	const cryptoOfficer = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603" // Key Vault Crypto Officer
	_, err := w.assign(w.vaultID, cryptoOfficer, w.ownerPrincipal(), servicePrincipal)
	w.must(err)
	parameters.Kty = to.Ptr(azkeys.KeyTypeRSA)
	_, err = w.keys().CreateKey(w.Context(), name, parameters, nil)
	w.must(err)
	return w.keysOf("crypto", cryptoUser)
}

func TestKey_DecryptsWhatItEncrypted(t *testing.T) {
	w := newWorld(t)
	keys := w.rsaKey("rsa", azkeys.CreateKeyParameters{})
	for _, algorithm := range []azkeys.EncryptionAlgorithm{
		azkeys.EncryptionAlgorithmRSAOAEP256, azkeys.EncryptionAlgorithmRSAOAEP, azkeys.EncryptionAlgorithmRSA15,
	} {
		sealed, err := keys.Encrypt(t.Context(), "rsa", "",
			azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: []byte("a key")}, nil)
		w.must(err)
		if strings.Contains(string(sealed.Result), "a key") || sealed.KID.Version() == "" {
			t.Errorf("%s: it is %q of %s", algorithm, sealed.Result, *sealed.KID)
		}
		opened, err := keys.Decrypt(t.Context(), "rsa", sealed.KID.Version(),
			azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: sealed.Result}, nil)
		w.must(err)
		if string(opened.Result) != "a key" {
			t.Errorf("%s: opened, it is %q", algorithm, opened.Result)
		}
		wrapped, err := keys.WrapKey(t.Context(), "rsa", "",
			azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: []byte("a key")}, nil)
		w.must(err)
		unwrapped, err := keys.UnwrapKey(t.Context(), "rsa", "",
			azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: wrapped.Result}, nil)
		w.must(err)
		if string(unwrapped.Result) != "a key" {
			t.Errorf("%s: unwrapped, it is %q", algorithm, unwrapped.Result)
		}
	}

	// The next version does not decrypt it.
	oaep := to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256)
	sealed, err := keys.Encrypt(t.Context(), "rsa", "",
		azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("a key")}, nil)
	w.must(err)
	_, err = w.keys().RotateKey(t.Context(), "rsa", nil)
	w.must(err)
	_, err = keys.Decrypt(t.Context(), "rsa", "", azkeys.KeyOperationParameters{Algorithm: oaep, Value: sealed.Result},
		nil)
	w.refused(err, http.StatusBadRequest, "BadParameter")
	opened, err := keys.Decrypt(t.Context(), "rsa", sealed.KID.Version(),
		azkeys.KeyOperationParameters{Algorithm: oaep, Value: sealed.Result}, nil)
	w.must(err)
	if string(opened.Result) != "a key" {
		t.Errorf("with its own version: %q", opened.Result)
	}

	for name, test := range map[string]struct {
		key        string
		parameters azkeys.KeyOperationParameters
		status     int
		code       string
	}{
		"an algorithm of other keys": {
			"rsa",
			azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithmA256GCM), Value: []byte("v")},
			400,
			"BadParameter",
		},
		"no algorithm": {
			"rsa",
			azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithm("")), Value: []byte("v")},
			400,
			"BadParameter",
		},
		"no value": {"rsa", azkeys.KeyOperationParameters{Algorithm: oaep}, 400, "BadParameter"},
		"too long for the key": {
			"rsa", azkeys.KeyOperationParameters{Algorithm: oaep, Value: make([]byte, 256)}, 400, "BadParameter",
		},
		"a key without the operation": {
			"my-key", azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("v")}, 403, "Forbidden",
		},
		"a missing key": {
			"absent", azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("v")}, 404, "KeyNotFound",
		},
		"a secret, which is not a key": {
			"my-secret", azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("v")}, 404, "KeyNotFound",
		},
	} {
		if _, err := keys.Encrypt(t.Context(), test.key, "", test.parameters, nil); err == nil {
			t.Errorf("%s: sealed", name)
		} else {
			w.refused(err, test.status, test.code)
		}
	}
}

func TestKey_RequiresRoleForEachOperation(t *testing.T) {
	w := newWorld(t)
	w.rsaKey("rsa", azkeys.CreateKeyParameters{})
	oaep := to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256)
	value := azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("v")}
	for name, test := range map[string]struct {
		role            string
		encrypts, wraps bool
	}{
		"user":    {cryptoUser, true, true},
		"service": {encryptionService, false, true},
		"reader":  {vaultReader, false, false},
		"nobody":  {"", false, false},
		"secrets": {secretsUser, false, false},
	} {
		keys := w.keysOf("role-"+name, test.role)
		sealed, err := keys.Encrypt(t.Context(), "rsa", "", value, nil)
		if (err == nil) != test.encrypts {
			t.Errorf("%s encrypts: %v", name, err)
		}
		if err != nil {
			w.refused(err, http.StatusForbidden, "Forbidden")
			_, err = keys.Decrypt(t.Context(), "rsa", "", value, nil)
			w.refused(err, http.StatusForbidden, "Forbidden")
		} else {
			encrypted := azkeys.KeyOperationParameters{Algorithm: oaep, Value: sealed.Result}
			if _, err := keys.Decrypt(t.Context(), "rsa", "", encrypted, nil); err != nil {
				t.Errorf("%s does not decrypt: %v", name, err)
			}
		}
		if _, err := keys.WrapKey(t.Context(), "rsa", "", value, nil); (err == nil) != test.wraps {
			t.Errorf("%s wraps: %v", name, err)
		}
	}
}

// TestKey_OutsideItsTimeDecryptsOnly checks that a key that is expired or not yet valid decrypts, but does not encrypt.
func TestKey_OutsideItsTimeDecryptsOnly(t *testing.T) {
	w := newWorld(t)
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	keys := w.rsaKey("rsa", azkeys.CreateKeyParameters{})
	oaep := to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256)
	sealed, err := keys.Encrypt(t.Context(), "rsa", "", azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("v")},
		nil)
	w.must(err)
	for name, test := range map[string]struct {
		attributes azkeys.KeyAttributes
		opens      bool
		inner      string
	}{
		"expired": {azkeys.KeyAttributes{Expires: &past}, true, "KeyExpired"},
		"not yet valid": {
			azkeys.KeyAttributes{NotBefore: &future, Expires: to.Ptr(future.Add(time.Hour))}, true, "KeyNotYetValid",
		},
		"disabled": {
			azkeys.KeyAttributes{Enabled: to.Ptr(false), NotBefore: to.Ptr(past.Add(-time.Hour)), Expires: &future},
			false,
			"KeyDisabled",
		},
	} {
		if test.attributes.Enabled == nil {
			test.attributes.Enabled = to.Ptr(true)
		}
		if test.attributes.NotBefore == nil {
			test.attributes.NotBefore = to.Ptr(past.Add(-time.Hour))
		}
		_, err := w.keys().UpdateKey(t.Context(), "rsa", "", azkeys.UpdateKeyParameters{KeyAttributes: &test.attributes}, nil)
		w.must(err)
		_, err = keys.Encrypt(t.Context(), "rsa", "", azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("v")}, nil)
		w.refused(err, http.StatusForbidden, "Forbidden")
		if err != nil && !strings.Contains(err.Error(), test.inner) {
			t.Errorf("%s: %v", name, err)
		}
		operation := azkeys.KeyOperationParameters{Algorithm: oaep, Value: sealed.Result}
		if _, err := keys.Decrypt(t.Context(), "rsa", "", operation, nil); (err == nil) != test.opens {
			t.Errorf("%s, it opens: %v", name, err)
		}
	}

	_, err = w.keys().CreateKey(t.Context(), "signs", azkeys.CreateKeyParameters{
		Kty:    to.Ptr(azkeys.KeyTypeRSA),
		KeyOps: []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationDecrypt), to.Ptr(azkeys.KeyOperationSign)},
	}, nil)
	w.must(err)
	_, err = keys.Encrypt(t.Context(), "signs", "", azkeys.KeyOperationParameters{Algorithm: oaep, Value: []byte("v")},
		nil)
	w.refused(err, http.StatusForbidden, "Forbidden")
}
