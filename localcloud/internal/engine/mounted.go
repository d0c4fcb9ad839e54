package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
)

// ReadMounted reads the files mounted in the stack's pod, from inside the pod, and describes them in one line. It
// returns "" if the program has no output readSecretCommand. A file that the pod cannot read is an error, and so is a
// mount without files. The line has a file's length and digest, or its contents if show is set or the file is one of
// the guide's.
func (s *Stack) ReadMounted(ctx context.Context, of Outputs, show bool) (string, error) {
	// kubectl exec -n <namespace> <pod> -- cat <file>
	words := strings.Fields(of.ReadSecretCommand)
	split := slices.Index(words, "--")
	if split < 2 {
		if !s.Program.IsOurs() { // other programs need not have such a pod
			return "", nil
		}
		return "no secret was read: the stack has no test pod", nil
	}
	namespace, pod, mount := words[split-2], words[split-1], filepath.Dir(words[len(words)-1])
	where := mount + " in " + pod
	var files []kube.File
	var err error
	if s.have.Node == kube.StandInNode {
		where = namespace + "/" + pod + " (stand-in node, no container)"
		files, err = kube.ReadStandIn(s.Path(home.KubeDir), of.ClusterID, namespace, pod)
	} else {
		files, err = s.readInPod(ctx, of.Kubeconfig, namespace, pod, mount)
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", where, err)
	}
	if len(files) == 0 {
		return "", fmt.Errorf("reading %s: there are no files", where)
	}
	demo := s.demo()
	var shown []string
	for _, file := range files {
		if show || slices.Contains(demo, file.Name) {
			shown = append(shown, file.Name+" = "+printable(file.Content))
		} else {
			sum := sha256.Sum256(file.Content)
			shown = append(shown, fmt.Sprintf("%s (%d bytes, SHA-256 %x...)", file.Name, len(file.Content), sum[:4]))
		}
	}
	return where + ": " + strings.Join(shown, ", "), nil
}

// ForgetPods removes pods from the state that were deleted from the cluster, and reports whether there are any. The
// engine does not notice them: its next up changes nothing, or fails to change a pod that does not exist. Other
// resources are left to the user's own `pulumi refresh`, which would also forget a vault that can be recovered.
func (s *Stack) ForgetPods(ctx context.Context) (gone bool, err error) {
	shown, err := s.Outputs(ctx)
	if err != nil || shown.Kubeconfig == "" {
		return false, err
	}
	client, err := s.cluster(shown.Kubeconfig)
	if err != nil {
		return false, err
	}
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	there, err := client.Pods(soon)
	if err != nil {
		return false, fmt.Errorf("listing pods: %w", err)
	}
	stack, err := s.automation(ctx)
	if err != nil {
		return false, err
	}
	exported, err := stack.Export(ctx)
	if err != nil {
		return false, s.because(err)
	}
	var deployment struct {
		Resources []struct{ URN, Type, ID string }
	}
	if err := json.Unmarshal(exported.Deployment, &deployment); err != nil {
		return false, fmt.Errorf("reading the stack's state: %w", err)
	}
	var deleted []string
	for _, r := range deployment.Resources {
		if r.Type == "kubernetes:core/v1:Pod" && r.ID != "" && !slices.Contains(there, r.ID) {
			s.Say("the pod %s was deleted outside of the stack: creating it again", r.ID)
			deleted = append(deleted, r.URN)
		}
	}
	if len(deleted) == 0 {
		return false, nil
	}
	return true, s.refresh(ctx, deleted...)
}

// readFiles is a script that prints each file below a folder after a line with a mark and the file's name. It needs
// only sh and cat.
const readFiles = `walk() {
	[ -r "$1" ] && [ -x "$1" ] || { echo "cannot list $1" >&2; exit 1; }
	for f in "$1"/* "$1"/.[!.]*; do
		if [ -d "$f" ]; then walk "$f"
		elif [ -e "$f" ] || [ -L "$f" ]; then printf '%s%s\n' "$mark" "${f#"$top"/}"; cat "$f" || exit 1
		fi
	done
}
top=$0 mark=$1
walk "$top"`

// readInPod reads the files below a folder of a pod's container.
func (s *Stack) readInPod(ctx context.Context, kubeconfig, namespace, pod, folder string) ([]kube.File, error) {
	client, err := s.cluster(kubeconfig)
	if err != nil {
		return nil, err
	}
	mark := rand.Text() // random, so that it is in no file
	var read []byte
	for tries := 1; ; tries++ {
		if read, err = client.Exec(ctx, namespace, pod, "sh", "-c", readFiles, folder, mark); err == nil {
			break
		}
		// A node that has just restarted, because an add-on's settings changed, needs time to restart its containers.
		const most = 30
		if tries == most || !strings.Contains(err.Error(), "unable to upgrade connection") {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	var files []kube.File
	for _, one := range bytes.Split(read, []byte(mark))[1:] {
		name, content, _ := bytes.Cut(one, []byte("\n"))
		files = append(files, kube.File{Name: string(name), Content: content})
	}
	return files, nil
}

// The guide's secret and key may be shown: the stack generates the secret for demonstration, and the pod has only the
// public half of the key.
const (
	demoSecret = "my-secret"
	demoKey    = "my-key"
)

// demo returns the files whose contents are not confidential: the guide's, if they are configured as in the guide.
func (s *Stack) demo() []string {
	type object struct{ Type, Name, Alias string }
	var file struct {
		Config struct {
			Secrets []struct {
				Name     string
				Generate map[string]any
			} `json:"keyvault-aks:secrets"`
			Workloads []struct{ Mount []object } `json:"keyvault-aks:workloads"`
		}
	}
	content, err := os.ReadFile(s.ConfigFile(s.name))
	if err != nil || json.Unmarshal(content, &file) != nil {
		return nil
	}
	var names []string
	for _, secret := range file.Config.Secrets {
		if secret.Name == demoSecret && secret.Generate != nil {
			names = []string{demoSecret, demoKey}
		}
	}
	for _, workload := range file.Config.Workloads {
		for _, o := range workload.Mount {
			guides := o == object{Type: "secret", Name: demoSecret} || o == object{Type: "key", Name: demoKey}
			names = slices.DeleteFunc(names, func(name string) bool { return !guides && (o.Name == name || o.Alias == name) })
		}
	}
	return names
}

// printable returns content as one line without control characters.
func printable(content []byte) string {
	text := strings.ReplaceAll(string(content), "\n", " ")
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Sprintf("%q", content)
	}
	return text
}
