package entra

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

func TestFederatedCredential_TakesEffectAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		credential := FederatedCredential{
			Issuer:      "i",
			Subject:     "s",
			Audiences:   []string{"a"},
			EffectiveOn: time.Now().Add(time.Minute),
		}
		match := func() error {
			return matchCredential([]FederatedCredential{credential}, jwt.Claims{
				Issuer: "i", Subject: "s", Audience: jwt.Audience{"a"},
			})
		}
		time.Sleep(59 * time.Second)
		if match() == nil {
			t.Error("it is known before")
		}
		time.Sleep(time.Second)
		if err := match(); err != nil {
			t.Errorf("it is not known at its time: %v", err)
		}
	})
}
