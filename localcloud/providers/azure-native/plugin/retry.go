package plugin

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

// Waits of azure-native for Resource Manager (github.com/pulumi/pulumi-azure-native,
// provider/pkg/azure/client_azcore.go), and of the Azure SDK for other services. A Retry-After header overrides all of
// them. A request fails if the header asks for more than longestRetry.
const (
	firstRetry   = 20 * time.Second // then 60 s and 120 s, with jitter; there is no fifth attempt
	longestRetry = 120 * time.Second
	pollPut      = 10 * time.Second
	pollDelete   = 30 * time.Second

	sdkFirstRetry = 800 * time.Millisecond
)

// waitsScale returns the factor for the waits, for a cloud whose operations take a fraction of Azure's times. Defaults
// to 1. The factor does not apply to Retry-After.
func waitsScale() (float64, error) {
	text, ok := os.LookupEnv(layout.WaitsVariable)
	if !ok {
		return 1, nil
	}
	scale, err := strconv.ParseFloat(text, 64)
	if err != nil || !(scale > 0 && scale <= 1) {
		return 0, fmt.Errorf("invalid %s %q: want a number above 0 and at most 1", layout.WaitsVariable, text)
	}
	return scale, nil
}

func (p *azureNative) scaled(wait time.Duration) time.Duration {
	return time.Duration(float64(wait) * p.scale)
}

var retriedStatuses = []int{
	http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// armOptions returns the options for Resource Manager. The number of attempts is the Azure SDK's default, four.
func (p *azureNative) armOptions() azcore.ClientOptions {
	options := p.options
	options.Retry = policy.RetryOptions{
		RetryDelay: p.scaled(firstRetry), MaxRetryDelay: longestRetry,
		ShouldRetry: func(resp *http.Response, err error) bool {
			return err != nil || slices.Contains(retriedStatuses, resp.StatusCode) || isBusy(resp)
		},
	}
	return options
}

// sdkOptions returns the options for Entra ID and Key Vault.
func (p *azureNative) sdkOptions() azcore.ClientOptions {
	options := p.options
	options.Retry.RetryDelay = p.scaled(sdkFirstRetry)
	return options
}

// isBusy reports whether resp is the only conflict worth a retry: another operation on the resource is in progress.
func isBusy(resp *http.Response) bool {
	if resp.StatusCode != http.StatusConflict {
		return false
	}
	var e *azcore.ResponseError
	return errors.As(runtime.NewResponseError(resp), &e) && e.ErrorCode == "AnotherOperationInProgress"
}
