package kube

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// The image of the test pod, built from Debian's static busybox of the same version.
const (
	busyboxPath  = "/bin/busybox"
	busyboxImage = "docker.io/library/busybox:1.35.0"
)

// writeImages writes an archive like `docker save` does, with one image under all names. The image has the static
// busybox and links for its applets. Its default command sleeps, which is all that a pod's sandbox needs.
func writeImages(archive, busybox string, names ...string) error {
	layer, err := busyboxLayer(busybox)
	if err != nil {
		return err
	}
	layerSum := sha256.Sum256(layer)
	type object = map[string]any
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": object{"Env": []string{"PATH=/bin"}, "Cmd": []string{"/bin/sleep", "2147483647"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(layerSum[:])}},
	})
	if err != nil {
		return err
	}
	configSum := sha256.Sum256(config)
	configName := hex.EncodeToString(configSum[:]) + ".json"
	manifest, err := json.Marshal([]object{{"Config": configName, "RepoTags": names, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"manifest.json", manifest}, {configName, config}, {"layer.tar", layer}} {
		if err := addFile(w, f.name, 0o644, f.content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(archive, out.Bytes(), 0o644)
}

func busyboxLayer(busybox string) ([]byte, error) {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing busybox's programs: %w", err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, d := range []struct {
		name string
		mode int64
	}{{"bin/", 0o755}, {"etc/", 0o755}, {"tmp/", 0o1777}, {"mnt/", 0o755}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d.name, Mode: d.mode}); err != nil {
			return nil, err
		}
	}
	if err := addFile(w, "bin/busybox", 0o755, program); err != nil {
		return nil, err
	}
	for _, name := range strings.Fields(string(applets)) {
		if name == "busybox" {
			continue
		}
		link := &tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox", Mode: 0o777}
		if err := w.WriteHeader(link); err != nil {
			return nil, err
		}
	}
	const users = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	if err := addFile(w, "etc/passwd", 0o644, []byte(users)); err != nil {
		return nil, err
	}
	return out.Bytes(), w.Close()
}

func addFile(w *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
