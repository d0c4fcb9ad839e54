// Package oidcissuer publishes the service account keys of clusters under their OIDC issuer URLs, as AKS does.
package oidcissuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Hosts is the host name of issuers, with a star in place of the location.
const Hosts = "*.oic.prod-aks.azure.com"

// URL returns the issuer URL of a cluster in the form of AKS. It ends in a slash, as "iss" in the cluster's tokens.
func URL(location, tenantID, id string) string {
	return "https://" + strings.Replace(Hosts, "*", location, 1) + "/" + tenantID + "/" + id + "/"
}

// Keys returns the public keys of an issuer. It returns nil without an error if there is no such issuer.
type Keys func(issuerURL string) ([]crypto.PublicKey, error)

// Handler serves the discovery documents and key sets of all issuers.
func Handler(keys Keys) http.Handler {
	mux := http.NewServeMux()
	serve := func(path string, answer func(issuer string, keys []crypto.PublicKey) (any, error)) {
		mux.HandleFunc("GET /{tenant}/{id}/"+path, func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := strings.Cut(r.Host, ":")
			issuer := "https://" + host + "/" + r.PathValue("tenant") + "/" + r.PathValue("id") + "/"
			public, err := keys(issuer)
			var body any
			if err == nil && len(public) > 0 {
				body, err = answer(issuer, public)
			}
			switch {
			case err != nil:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			case len(public) == 0:
				http.NotFound(w, r)
			default:
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
			}
		})
	}
	serve(".well-known/openid-configuration", func(issuer string, _ []crypto.PublicKey) (any, error) {
		return map[string]any{
			"issuer":                                issuer,
			"jwks_uri":                              issuer + "openid/v1/jwks",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		}, nil
	})
	serve("openid/v1/jwks", func(_ string, keys []crypto.PublicKey) (any, error) { return KeySet(keys) })
	return mux
}

// KeySet returns the key set with which an issuer publishes keys.
func KeySet(keys []crypto.PublicKey) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	for _, key := range keys {
		id, err := KeyID(key)
		if err != nil {
			return set, err
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: id, Use: "sig", Algorithm: string(algorithm(key))})
	}
	return set, nil
}

func algorithm(key crypto.PublicKey) jose.SignatureAlgorithm {
	if _, ok := key.(*ecdsa.PublicKey); ok {
		return jose.ES256
	}
	return jose.RS256
}

// KeyID returns the "kid" in kube-apiserver's tokens (keyIDFromPublicKey in k8s.io/kubernetes/pkg/serviceaccount).
func KeyID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding a service account key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
