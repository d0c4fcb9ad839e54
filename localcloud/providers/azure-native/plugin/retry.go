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

// These are the waits of azure-native, for Resource Manager (github.com/pulumi/pulumi-azure-native,
// provider/pkg/azure/client_azcore.go), and the Azure SDK's own elsewhere. A Retry-After goes before all of them, and
// ends a request that is told to wait longer than longestRetry.
const (
	firstRetry   = 20 * time.Second // then 60 s and 120 s, each a little more or less, and no more
	longestRetry = 120 * time.Second
	pollPut      = 10 * time.Second
	pollDelete   = 30 * time.Second

	sdkFirstRetry = 800 * time.Millisecond
)

// waitsScale is what the waits are multiplied with, so that they fit a cloud whose operations take a part of Azure's
// times. Defaults to 1. A Retry-After is the service's affair.
func waitsScale() (float64, error) {
	text, ok := os.LookupEnv(layout.WaitsVariable)
	if !ok {
		return 1, nil
	}
	scale, err := strconv.ParseFloat(text, 64)
	if err != nil || !(scale > 0 && scale <= 1) {
		return 0, fmt.Errorf("%s is %q: want a number above 0 and up to 1", layout.WaitsVariable, text)
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

// armOptions are those of requests to Resource Manager. The number of attempts is the Azure SDK's: four.
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

// sdkOptions are those of requests elsewhere: to Entra ID and Key Vault.
func (p *azureNative) sdkOptions() azcore.ClientOptions {
	options := p.options
	options.Retry.RetryDelay = p.scaled(sdkFirstRetry)
	return options
}

// isBusy tells the one conflict that passes by itself: the resource is still at its last operation.
func isBusy(resp *http.Response) bool {
	if resp.StatusCode != http.StatusConflict {
		return false
	}
	var e *azcore.ResponseError
	return errors.As(runtime.NewResponseError(resp), &e) && e.ErrorCode == "AnotherOperationInProgress"
}
