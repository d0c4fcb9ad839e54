package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	armruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// armClient is a client for Azure Resource Manager. The Azure SDK's pipeline authenticates and retries. Polling works
// as in the SDK.
type armClient struct {
	endpoint            string
	pipeline            runtime.Pipeline
	pollPut, pollDelete time.Duration // intervals without Retry-After
}

func newARMClient(p *azureNative, credential azcore.TokenCredential) (*armClient, error) {
	options := p.armOptions()
	options.Telemetry.ApplicationID = "pulumi-azure-native"
	pipeline, err := armruntime.NewPipeline(
		basePackage, p.version, credential, runtime.PipelineOptions{}, &arm.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	return &armClient{
		endpoint: cloud.AzurePublic.Services[cloud.ResourceManager].Endpoint, pipeline: pipeline,
		pollPut: p.scaled(pollPut), pollDelete: p.scaled(pollDelete),
	}, nil
}

// armError is an error of ARM with its original message, which may repeat parts of the request.
type armError struct {
	status        int
	code, message string
}

func (e *armError) Error() string {
	if e.code == "" {
		return fmt.Sprintf(`Status=%d Message="%s"`, e.status, e.message)
	}
	return fmt.Sprintf(`Status=%d Code="%s" Message="%s"`, e.status, e.code, e.message)
}

func isNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }
func isConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

func hasStatus(err error, status int) bool {
	var ours *armError
	var sdks *azcore.ResponseError // for responses that are not JSON, and for vaults
	return errors.As(err, &ours) && ours.status == status || errors.As(err, &sdks) && sdks.StatusCode == status
}

// refused returns an armError for a response. Failed asynchronous operations have the same envelope.
func refused(resp *http.Response) error {
	err := runtime.NewResponseError(resp)
	var sdks *azcore.ResponseError
	body, unread := runtime.Payload(resp)
	var envelope struct {
		Error *struct{ Message *string }
	}
	if !errors.As(err, &sdks) || unread != nil || json.Unmarshal(body, &envelope) != nil {
		return err
	}
	e := &armError{status: resp.StatusCode, code: sdks.ErrorCode, message: string(body)}
	if envelope.Error != nil && envelope.Error.Message != nil {
		e.message = *envelope.Error.Message
	}
	return e
}

// explain converts the Azure SDK's error for a response to an armError. It returns other errors unchanged.
func explain(err error) error {
	var e *azcore.ResponseError
	if errors.As(err, &e) && e.RawResponse != nil {
		return refused(e.RawResponse)
	}
	return err
}

// timedOut returns azure-native's error for an operation that exceeded its timeout. It returns other errors unchanged.
func timedOut(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("operation timed out")
	}
	return err
}

// send sends a request and returns the response, whatever its status.
func (c *armClient) send(ctx context.Context, method, id string, query url.Values, body any) (*http.Response, error) {
	req, err := runtime.NewRequest(ctx, method, runtime.JoinPaths(c.endpoint, id))
	if err != nil {
		return nil, err
	}
	req.Raw().Header.Set("Accept", "application/json")
	req.Raw().URL.RawQuery = query.Encode()
	if body != nil {
		if err := runtime.MarshalAsJSON(req, body); err != nil {
			return nil, err
		}
	}
	return c.pipeline.Do(req)
}

// do is send, but fails on any status that is not accepted.
func (c *armClient) do(
	ctx context.Context,
	method, id string,
	query url.Values,
	body any,
	accepted ...int,
) (*http.Response, error) {
	resp, err := c.send(ctx, method, id, query, body)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(resp, accepted...) {
		return nil, refused(resp)
	}
	return resp, nil
}

func versioned(apiVersion string) url.Values { return url.Values{"api-version": {apiVersion}} }

// get reads a resource.
func (c *armClient) get(ctx context.Context, id, apiVersion string) (map[string]any, error) {
	resp, err := c.do(ctx, http.MethodGet, id, versioned(apiVersion), nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	return decodeObject(resp)
}

// post calls an action on a resource.
func (c *armClient) post(ctx context.Context, id string, query url.Values) (map[string]any, error) {
	resp, err := c.do(ctx, http.MethodPost, id, query, map[string]any{}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	return decodeObject(resp)
}

// canCreate returns an error if the resource exists or the request fails. Some services answer without content if the
// resource does not exist.
func (c *armClient) canCreate(ctx context.Context, id, apiVersion string) error {
	resp, err := c.send(ctx, http.MethodGet, id, versioned(apiVersion), nil)
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusNoContent:
		return nil
	case http.StatusOK:
		if found, err := decodeObject(resp); err == nil && len(found) > 0 {
			return fmt.Errorf("cannot create already existing resource '%s'", id)
		}
		return nil
	}
	body, _ := runtime.Payload(resp) // empty if unreadable
	return fmt.Errorf("cannot check existence of resource '%s': status code %d, %s", id, resp.StatusCode, body)
}

// put writes a resource and, if long is set or the status is 202, waits for the operation. accepted reports whether ARM
// accepted the request. If accepted is true and err is not nil, the resource may exist in another state than requested.
func (c *armClient) put(ctx context.Context, id, apiVersion string, body map[string]any, long bool) (
	answer map[string]any, accepted bool, err error,
) {
	resp, err := c.do(ctx, http.MethodPut, id, versioned(apiVersion), body,
		http.StatusOK, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return nil, false, err
	}
	if answer, err = decodeObject(resp); err != nil {
		return nil, false, err
	}
	if long || resp.StatusCode == http.StatusAccepted {
		c.completeLocation(resp, apiVersion)
		answer, err = c.await(ctx, resp, c.pollPut)
	}
	return answer, true, err
}

// completeLocation makes the Location header absolute and adds an API version, as the Azure SDK's poller requires.
func (c *armClient) completeLocation(resp *http.Response, apiVersion string) {
	location, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || location.String() == "" {
		return
	}
	if !location.IsAbs() {
		if location, err = url.Parse(runtime.JoinPaths(c.endpoint, location.String())); err != nil {
			return
		}
	}
	if query := location.Query(); !query.Has("api-version") {
		query.Set("api-version", apiVersion)
		location.RawQuery = query.Encode()
	}
	resp.Header.Set("Location", location.String())
}

// delete deletes a resource and, if long is set, waits until it is gone. It succeeds if the resource does not exist.
func (c *armClient) delete(ctx context.Context, id, apiVersion string, long bool) error {
	resp, err := c.do(ctx, http.MethodDelete, id, versioned(apiVersion), nil,
		http.StatusOK, http.StatusAccepted, http.StatusNoContent)
	if err == nil && long {
		_, err = c.await(ctx, resp, c.pollDelete)
	}
	if isNotFound(err) {
		return nil
	}
	return err
}

// await polls an asynchronous operation until it succeeds or fails and returns its result. Unlike the Azure SDK's
// PollUntilDone, it may poll more often than once a second.
func (c *armClient) await(
	ctx context.Context,
	resp *http.Response,
	every time.Duration,
) (result map[string]any, err error) {
	poller, err := runtime.NewPoller[map[string]any](resp, c.pipeline, nil)
	if err != nil {
		return nil, explain(err)
	}
	for wait := retryAfter(resp); ; wait = cmp.Or(retryAfter(resp), every) {
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
		if resp, err = poller.Poll(ctx); err != nil {
			return nil, explain(err)
		}
		if poller.Done() {
			result, err = poller.Result(ctx)
			return result, explain(err)
		}
	}
}

// retryAfter returns the wait that a response requests in milliseconds, in seconds or until a date. 0 means none.
func retryAfter(resp *http.Response) time.Duration {
	if ms, err := strconv.Atoi(resp.Header.Get("Retry-After-Ms")); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	v := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(v); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(v); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}

func decodeObject(resp *http.Response) (map[string]any, error) {
	var object map[string]any
	if err := runtime.UnmarshalAsJSON(resp, &object); err != nil {
		return nil, fmt.Errorf("reading the response of %s: %w", resp.Request.URL.Path, err)
	}
	return object, nil
}
