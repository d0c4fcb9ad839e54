package localcloudtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// modulePath is the path of this package's module.
const modulePath = "github.com/keyvault-aks/keyvault-aks/localcloud"

// buildFlags are the GOFLAGS of the local cloud's own builds (thirdparty.ProgramFlags), so that shared packages are
// compiled only once.
const buildFlags = "-trimpath -gcflags=all=-dwarf=false -ldflags=-s -buildvcs=false"

// built builds the command localcloud, once in each process.
var built = sync.OnceValues(func() (string, error) { return build(".") })

// build builds the command from the version of this module that the go.mod of dir names. The build runs in this module,
// with its own versions of dependencies: the importing module has others, and lacks the sums of some.
func build(dir string) (string, error) {
	listed, err := goCommand(dir, "list", "-m", "-json", modulePath)
	var module struct {
		Path, Version, Dir string
		Replace            *struct{ Dir string }
	}
	if err == nil {
		err = json.Unmarshal(listed, &module)
	}
	if err == nil && module.Dir == "" { // vendored, or not in the module cache
		err = errors.New("its source is missing: run `go mod download`, or set Options.Command to a built localcloud")
	}
	if err != nil {
		return "", fmt.Errorf("finding the module %s: %w", modulePath, err)
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(module.Dir))
	cache = filepath.Join(cache, "localcloud-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	// Tests of several packages may run at the same time. The process holds the lock until it ends.
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	program := filepath.Join(cache, "localcloud")
	if _, err := goCommand(module.Dir, "build", "-mod=readonly", "-o", program, "./cmd/localcloud"); err != nil {
		return "", err
	}
	return program, nil
}

func goCommand(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	if args[0] == "build" {
		cmd.Env = append(os.Environ(), "GOFLAGS="+buildFlags, "GOWORK=off")
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	return out.Bytes(), nil
}

// cacheFolder creates the cache folder, which is shared by tests and with the local cloud, and returns its path.
func cacheFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "keyvault-aks")
	return folder, os.MkdirAll(folder, 0o755)
}
