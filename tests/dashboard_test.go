package tests

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The pictures in docs are made with -screenshots ../docs, where Debian's fonts-inter and fonts-jetbrains-mono are.
var screenshots = flag.String("screenshots", "", "`folder` for pictures of the dashboard, in light and dark")

// dashboard starts `localcloud dashboard`, which ends with the test, and returns the URL that it prints.
func (c *cloud) dashboard(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(untilEnding(t))
	cmd := c.localcloud().Localcloud(ctx, "dashboard")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	t.Cleanup(func() {
		cancel()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("the dashboard ends after Ctrl-C with %v: %s", err, &errs)
		}
	})
	_, address, found := strings.Cut(strings.TrimSpace(line), "dashboard: ")
	if err != nil || !found {
		t.Fatalf("the dashboard prints %q, %v", line, err)
	}
	return address
}

// wantsMore applies a pod that mounts a secret which its identity may not read.
func (c *cloud) wantsMore(t *testing.T, outputs stackOutputs) {
	t.Helper()
	c.apply(t, fmt.Sprintf(`apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: reports, namespace: %s}
spec:
  provider: azure
  parameters:
    clientID: %s
    keyvaultName: %s
    tenantID: %s
    objects: |
      array:
        - |
          objectName: database-password
          objectType: secret
---`, outputs.Namespace, outputs.ClientID, outputs.VaultName, c.running(t).Credentials.TenantID)+
		readerPod("reports", outputs.Namespace, outputs.ServiceAccounts[0], "reports"))
}

// TestDashboard looks at the page in a browser, by its keyboard alone.
func TestDashboard(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	c := newCloud(t)
	out, err := c.command(t, "dashboard").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "localcloud start") {
		t.Errorf("the dashboard of a cloud that does not run: %v: %s", err, out)
	}
	c.up(t, "--node=stand-in")
	outputs := c.outputs(t)
	address := c.dashboard(t)
	b.look("light", 1400, 900)
	b.do(chromedp.Navigate(address))
	b.wait(`document.querySelectorAll("#list .row").length > 20`)
	b.wait(`document.querySelectorAll("#tree [role=treeitem]").length > 10`)
	if at := in[string](b, "location.href"); strings.Contains(at, "token") {
		t.Errorf("the page is at %s", at)
	}
	c.wantsMore(t, outputs)

	sub := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			whole := b.t
			b.t = t
			defer func() { b.t = whole }()
			test(t)
		})
	}

	sub("Tree", func(t *testing.T) {
		b.tabTo("#tree [role=treeitem]")
		outline := in[string](b, `getComputedStyle(document.activeElement.querySelector(".item")).outlineStyle`)
		if outline != "solid" {
			t.Errorf("the outline of the item with the focus is %s", outline)
		}
		b.press(kb.Home, kb.ArrowLeft)
		if in[string](b, `document.activeElement.getAttribute("aria-expanded")`) != "false" {
			t.Error("an arrow to the left does not close an item")
		}
		closed := b.count("#tree [role=treeitem]")
		b.press(kb.ArrowRight, kb.ArrowRight, kb.ArrowDown)
		opened := b.count("#tree [role=treeitem]")
		if opened <= closed {
			t.Errorf("%d items are seen in the tree when it is closed, %d when it is open", closed, opened)
		}
		for range 40 { // down to the secret
			if in[string](b, `document.activeElement.querySelector(".title")?.textContent`) == "my-secret" {
				break
			}
			b.press(kb.ArrowDown)
		}
		b.press(kb.Enter)
		b.shows("#details h3", "my-secret")
		b.shows("#details", "Key Vault Secrets User", outputs.VaultName)
		b.press(kb.Escape)
		b.wait(`document.getElementById("details").hidden && document.activeElement.closest("#tree")`)
	})

	sub("RefusedRequest", func(t *testing.T) {
		b.shows("#list .row.refused", "/secrets/database-password")
		b.tabTo("[name=outcome]")
		b.press(kb.ArrowRight)
		b.wait(`[...document.querySelectorAll("#list .row")].every((r) => r.classList.contains("refused"))`)
		if got := in[string](b, `document.querySelector("[name=outcome]:checked").value`); got != "refused" {
			t.Errorf("the outcome to be shown is %s", got)
		}
		b.tabTo("#list")
		b.press(kb.ArrowDown)
		b.shows("#details h3", "Refused")
		details := in[string](b, `document.getElementById("details").innerText`)
		for _, want := range []string{
			"Key Vault Secrets User", "secrets/getSecret/action", "no role assignment", "ForbiddenByRbac", outputs.PrincipalID,
			"system:serviceaccount:" + outputs.Namespace, "az role assignment create",
		} {
			if !strings.Contains(details, want) {
				t.Errorf("the details lack %q:\n%s", want, details)
			}
		}
		active := in[string](b, `document.getElementById("list").getAttribute("aria-activedescendant")`)
		if !strings.HasPrefix(active, "request-") {
			t.Errorf("the list's active descendant is %q", active)
		}
	})

	sub("Graph", func(t *testing.T) {
		b.tabTo(`a[href="#graph"]`)
		b.press(kb.Enter)
		b.wait(`document.querySelectorAll("#canvas .node").length > 8`)
		b.tabTo("#canvas .node")
		before := in[string](b, "document.activeElement.dataset.id")
		b.press(kb.ArrowRight)
		if in[string](b, "document.activeElement.dataset.id") == before {
			t.Error("an arrow to the right stays where it is")
		}
		b.press(kb.Enter)
		b.wait(`document.activeElement.getAttribute("aria-pressed") === "true" && !document.getElementById("details").hidden`)
		for _, want := range []string{"my-secret", "aks-keyvault-cluster", outputs.VaultName, "Key Vault Secrets User"} {
			if !strings.Contains(in[string](b, `document.getElementById("canvas").textContent`), want) {
				t.Errorf("the graph lacks %s", want)
			}
		}
	})

	sub("Pods", func(t *testing.T) {
		b.tabTo(`a[href="#pods"]`)
		b.press(kb.Enter)
		b.wait(`document.querySelectorAll("#mounts .card").length >= 2`)
		b.shows("#mounts .card", "keyvault-test-pod", "secret/my-secret")
		b.shows("#mounts .card.bad", "reports", "ForbiddenByRbac")
	})

	secret := c.mounted(t, outputs, "my-secret")
	ask := func() int {
		status, _ := c.request(t, http.MethodGet, "https://management.azure.com/subscriptions?api-version=2022-12-01", "")
		return status
	}
	sub("Faults", func(t *testing.T) {
		b.tabTo(`a[href="#faults"]`)
		b.press(kb.Enter)
		b.tabTo("#amount-1")
		b.press(kb.ArrowDown, kb.ArrowDown)
		b.wait(`document.activeElement.selectedOptions[0].textContent === "all requests"`)
		b.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
		label := in[string](b, `document.getElementById(document.activeElement.getAttribute("aria-labelledby"))?.textContent`)
		if label != "Resource Manager is unavailable" {
			t.Fatalf("the focus is on %q", label)
		}
		if got := ask(); got != http.StatusOK {
			t.Fatalf("before the fault, Resource Manager answers %d", got)
		}
		b.press(" ")
		b.wait(`document.getElementById("switch-1").getAttribute("aria-checked") === "true"`)
		if got := ask(); got != http.StatusServiceUnavailable {
			t.Errorf("with the fault, Resource Manager answers %d", got)
		}
		b.wait(`document.querySelector("#report .numbers").textContent.match(/Met a fault[1-9]/)`)
		b.shows("#report .met", "503")
		if in[string](b, "document.activeElement.id") != "switch-1" {
			t.Error("the focus has left the switch")
		}
		b.press(" ")
		b.wait(`document.getElementById("switch-1").getAttribute("aria-checked") === "false"`)
		if got := ask(); got != http.StatusOK {
			t.Errorf("after the fault, Resource Manager answers %d", got)
		}

		b.tabTo("#plan")
		b.press("rules: [{rate: 7, status: 503}]")
		b.tabTo("#plan-form button")
		b.press(kb.Enter)
		b.shows("#plan-error", "rate")
		b.wait(`document.getElementById("plan").getAttribute("aria-invalid")`)
	})
	if errs := b.errors(); !strings.Contains(errs, "400") || strings.Count(errs, "\n") > 0 {
		t.Errorf("the browser says more than that the last plan was refused:\n%s", errs)
	}

	sub("LightAndDark", func(t *testing.T) {
		colours := map[string]string{}
		for _, scheme := range []string{"light", "dark"} {
			b.look(scheme, 1400, 900)
			colours[scheme] = in[string](b, "getComputedStyle(document.body).backgroundColor")
			for _, view := range []string{"activity", "graph", "pods", "faults"} {
				b.show(view)
				if low := in[[]string](b, readFile(t, "testdata/contrast.js")); len(low) > 0 {
					t.Errorf("%s in %s has texts of low contrast: %q", view, scheme, low)
				}
			}
		}
		if colours["light"] == colours["dark"] {
			t.Errorf("light and dark are the same: %v", colours)
		}
		b.look("light", 400, 800)
		for _, view := range []string{"activity", "graph", "pods", "faults"} {
			b.show(view)
			if width := in[int](b, "document.documentElement.scrollWidth"); width > 400 {
				t.Errorf("%s is %d wide on a screen of 400", view, width)
			}
		}
		b.look("light", 1400, 900)
	})

	sub("NothingSecret", func(t *testing.T) {
		r := c.running(t)
		secrets := map[string]string{
			"the stack's secret": secret, "the owner's credentials": r.Credentials.ClientSecret, "the proxy": r.Proxy,
			"the cluster's authority": kubeconfigField(t, c, "certificate-authority-data"),
			"the passphrase":          strings.TrimSpace(readFile(t, filepath.Join(c.home, "passphrase"))),
		}
		look := func(where, text string) {
			for what, secret := range secrets {
				if secret == "" || containsSecret([]byte(text), secret) {
					t.Errorf("%s has %s", where, what)
				}
			}
		}
		for _, view := range []string{"activity", "graph", "pods", "faults"} {
			b.show(view)
			look("the view "+view, in[string](b, "document.documentElement.outerHTML"))
		}
		b.show("activity")
		for i := range in[int](b, `document.querySelectorAll("#list .row").length`) {
			in[any](b, fmt.Sprintf(`document.querySelectorAll("#list .row")[%d]?.click()`, i))
			look("details", in[string](b, `document.getElementById("details").outerHTML`))
		}
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client := http.Client{Jar: jar, Timeout: time.Minute}
		resp, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		at, _ := url.Parse(resp.Request.URL.String())
		stranger := http.Client{Timeout: time.Minute}
		for _, path := range []string{
			"", "app.js", "style.css", "api/status", "api/activity?after=0", "api/resources", "api/graph", "api/operations",
			"api/mounts", "api/faults",
		} {
			content := get(t, &client, at.String()+path, http.StatusOK)
			look("the answer to "+path, content)
			get(t, &stranger, at.String()+path, http.StatusUnauthorized)
			get(t, &stranger, "http://"+at.Host+"/"+path, http.StatusUnauthorized)
		}
	})

	if *screenshots != "" {
		sub("Screenshots", func(t *testing.T) { takePictures(t, b, c, outputs) })
	}
	if errs := b.errors(); errs != "" {
		t.Errorf("the browser says\n%s", errs)
	}

	sub("Restart", func(t *testing.T) {
		b.show("activity")
		in[any](b, `document.querySelector("[name=outcome][value=all]").click()`)
		if out, err := c.command(t, "stop").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b.shows("#banner", "stopped", "localcloud start")
		b.shows("#state", "Stopped")
		if out, err := c.command(t, "start", "--node=stand-in").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b.shows("#state", "Running")
		b.wait(`document.getElementById("banner").hidden`)
		ask()
		b.shows("#list .row", "/subscriptions")
	})

	b.mu.Lock()
	defer b.mu.Unlock()
	own, _, _ := strings.Cut(address, "?")
	for _, one := range b.requested {
		if !strings.HasPrefix(one, own) {
			t.Errorf("the page asks for %s", one)
		}
	}
	if len(b.requested) < 10 {
		t.Errorf("the page asked for %q", b.requested)
	}
}

// show goes to a view of the page.
func (b *tab) show(view string) {
	b.t.Helper()
	in[any](b, fmt.Sprintf("location.hash = %q", view))
	b.wait(fmt.Sprintf(`document.body.dataset.view === %q && !document.getElementById(%q).hidden`, view, view))
	time.Sleep(300 * time.Millisecond) // until what it asks for is there
}

func get(t *testing.T, client *http.Client, address string, want int) string {
	t.Helper()
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Errorf("%s: %s, %v, want %d", address, resp.Status, err, want)
	}
	return string(content)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// kubeconfigField is a value in the stack's kubeconfig.
func kubeconfigField(t *testing.T, c *cloud, name string) string {
	t.Helper()
	_, rest, _ := strings.Cut(c.kubeconfig(t), name+": ")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

// takePictures shows a refused request beside one that met a fault, in both schemes.
func takePictures(t *testing.T, b *tab, c *cloud, outputs stackOutputs) {
	c.setFaults(t, `rules: [{host: '.+\.vault\.azure\.net', first: 1, status: 429, retryAfter: 300ms}]`)
	defer c.endFaults(t)
	b.wait(`!document.getElementById("faults-badge").hidden && !document.getElementById("pods-badge").hidden`)
	c.kubectl(t, "delete", "pod", "--namespace", outputs.Namespace, "--now", "reports")
	b.show("activity")
	in[any](b, `document.querySelector("[name=outcome][value=all]").click()`)
	before := in[int](b, `Number(document.querySelector("#list .row").id.split("-")[1])`)
	c.wantsMore(t, outputs)
	for _, class := range []string{"met", "refused"} {
		rows := fmt.Sprintf(`[...document.querySelectorAll("#list .row.%s")]`, class)
		b.wait(rows + fmt.Sprintf(`.some((r) => r.id.split("-")[1] > %d)`, before))
	}
	in[any](b, `document.querySelector("#list .row.refused").click()`)
	for _, scheme := range []string{"light", "dark"} {
		b.look(scheme, 1400, 860)
		in[any](b, `document.querySelector("#list").scrollTop = 0; document.activeElement.blur()`)
		time.Sleep(100 * time.Millisecond)
		picture, err := png.Decode(bytes.NewReader(b.screenshot()))
		if err != nil {
			t.Fatal(err)
		}
		var small bytes.Buffer
		encoder := png.Encoder{CompressionLevel: png.BestCompression}
		if err := encoder.Encode(&small, paletted(picture)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, "dashboard-"+scheme+".png"), small.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// paletted is a picture in 256 colours, those that are frequent and can be told apart. It takes a third of the space.
func paletted(picture image.Image) image.Image {
	count := map[color.Color]int{}
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[picture.At(x, y)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] })
	var palette color.Palette
	for _, c := range all {
		if len(palette) < 256 && (len(palette) == 0 || apart(c, palette[palette.Index(c)])) {
			palette = append(palette, c)
		}
	}
	few := image.NewPaletted(bounds, palette)
	draw.Draw(few, bounds, picture, bounds.Min, draw.Src)
	return few
}

func apart(a, b color.Color) bool {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	far := func(x, y uint32) bool { return max(x, y)-min(x, y) > 5<<8 }
	return far(ar, br) || far(ag, bg) || far(ab, bb)
}
