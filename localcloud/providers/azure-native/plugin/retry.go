package plugin

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

var retriedStatuses = []int{
	http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// retryOptions are those of every request. The pipeline waits as long as a Retry-After asks for, else ever longer from
// half a second on. Options that were set stay.
func retryOptions(o policy.RetryOptions) policy.RetryOptions {
	if o.MaxRetries == 0 {
		o.MaxRetries = 5
	}
	if o.RetryDelay == 0 {
		o.RetryDelay = 500 * time.Millisecond
	}
	o.ShouldRetry = func(resp *http.Response, err error) bool {
		if err != nil {
			return true
		}
		return slices.Contains(retriedStatuses, resp.StatusCode) || isBusy(resp)
	}
	return o
}

// isBusy tells the one conflict that passes by itself: the resource is still at its last operation.
func isBusy(resp *http.Response) bool {
	if resp.StatusCode != http.StatusConflict {
		return false
	}
	var e *azcore.ResponseError
	return errors.As(runtime.NewResponseError(resp), &e) && e.ErrorCode == "AnotherOperationInProgress"
}
