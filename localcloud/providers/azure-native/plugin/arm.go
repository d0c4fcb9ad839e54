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

// The first poll comes soon, so that a quick cloud is quick, the later ones ever more slowly. Retry-After goes before
// both.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 5 * time.Second
)

// armClient speaks to Azure Resource Manager: authenticated, retried and polled by the Azure SDK's own pipeline.
type armClient struct {
	endpoint string
	pipeline runtime.Pipeline
}

func newARMClient(credential azcore.TokenCredential, version string, options azcore.ClientOptions) (*armClient, error) {
	options.Telemetry.ApplicationID = "pulumi-azure-native"
	options.Retry = retryOptions(options.Retry)
	pipeline, err := armruntime.NewPipeline(
		basePackage, version, credential, runtime.PipelineOptions{}, &arm.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	endpoint := cloud.AzurePublic.Services[cloud.ResourceManager].Endpoint
	return &armClient{endpoint: endpoint, pipeline: pipeline}, nil
}

// armError is what ARM said, without the rest of its answer, which may repeat what was sent.
type armError struct {
	status        int
	code, message string
}

func (e *armError) Error() string {
	return fmt.Sprintf("status %d, code %q: %s", e.status, e.code, e.message)
}

func isNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }
func isConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

func hasStatus(err error, status int) bool {
	var e *armError
	return errors.As(err, &e) && e.status == status
}

// refused makes an armError of an answer; the envelope is ARM's, and also that of a failed asynchronous operation.
func refused(resp *http.Response) error {
	var envelope struct {
		Error struct{ Code, Message string }
	}
	body, err := runtime.Payload(resp)
	if err == nil {
		err = json.Unmarshal(body, &envelope)
	}
	e := &armError{status: resp.StatusCode, code: envelope.Error.Code, message: envelope.Error.Message}
	if err != nil || e.code == "" {
		e.code, e.message = http.StatusText(resp.StatusCode), "no error in the answer"
	}
	return e
}

// explain turns the Azure SDK's error for an answer, which quotes the whole of it, into an armError.
func explain(err error) error {
	var e *azcore.ResponseError
	if errors.As(err, &e) && e.RawResponse != nil {
		return refused(e.RawResponse)
	}
	return err
}

// do sends one request and fails on any status that is not among the accepted ones.
func (c *armClient) do(ctx context.Context, method, id string, query url.Values, body any, accepted ...int) (*http.Response, error) {
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
	resp, err := c.pipeline.Do(req)
	if err != nil {
		return nil, explain(err)
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

// post calls an action of a resource.
func (c *armClient) post(ctx context.Context, id string, query url.Values) (map[string]any, error) {
	resp, err := c.do(ctx, http.MethodPost, id, query, map[string]any{}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	return decodeObject(resp)
}

// put creates or updates a resource and waits until that is done. accepted is ARM's first answer: where it is nil, the
// request was refused and nothing has changed; with an error beside it, the resource is there and not as wanted.
func (c *armClient) put(ctx context.Context, id, apiVersion string, body map[string]any) (accepted map[string]any, err error) {
	resp, err := c.do(ctx, http.MethodPut, id, versioned(apiVersion), body, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	accepted, err = decodeObject(resp)
	if accepted == nil {
		accepted = map[string]any{}
	}
	if err != nil || !unfinished(resp, accepted) {
		return accepted, err
	}
	return accepted, c.await(ctx, resp)
}

// delete removes a resource and waits until it is gone; one that is not there counts as removed.
func (c *armClient) delete(ctx context.Context, id, apiVersion string) error {
	resp, err := c.do(ctx, http.MethodDelete, id, versioned(apiVersion), nil, http.StatusOK, http.StatusAccepted, http.StatusNoContent)
	if err == nil && unfinished(resp, nil) {
		err = c.await(ctx, resp)
	}
	if isNotFound(err) {
		return nil
	}
	return err
}

// unfinished tells an answer to an asynchronous operation. A Location on a 201 is the resource's own and says nothing.
func unfinished(resp *http.Response, body map[string]any) bool {
	if resp.StatusCode == http.StatusAccepted || resp.Header.Get("Azure-AsyncOperation") != "" {
		return true
	}
	state, ok := valueAt(body, "properties.provisioningState").(string)
	return ok && state != "Succeeded"
}

// await polls an asynchronous operation until it has succeeded or failed.
func (c *armClient) await(ctx context.Context, resp *http.Response) error {
	if resp.StatusCode != http.StatusAccepted {
		resp.Header.Del("Location")
	}
	poller, err := runtime.NewPoller[json.RawMessage](resp, c.pipeline, nil)
	if err != nil {
		return explain(err)
	}
	for delay := firstPoll; !poller.Done(); delay = min(delay*3/2, lastPoll) {
		if err := pause(ctx, cmp.Or(retryAfter(resp), delay)); err != nil {
			return fmt.Errorf("waiting for an operation that was accepted: %w", err)
		}
		if resp, err = poller.Poll(ctx); err != nil {
			return explain(err)
		}
	}
	_, err = poller.Result(ctx)
	return explain(err)
}

// retryAfter is the wait that a service asks for, in milliseconds, in seconds or until a date; 0 where it asks for
// none.
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
		return nil, fmt.Errorf("reading the answer of %s: %w", resp.Request.URL.Path, err)
	}
	return object, nil
}
