package clickhouse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// LibraryVersion is the release of the engine library that this build expects;
// the Makefile and package-lock.json pin the same one.
const LibraryVersion = "26.7.3-stable.1"

// FindLibrary returns the engine library's path: the explicit one, or where
// `make engine` puts it. Only linux-amd64 is tried; the library is published
// for linux-arm64 and darwin-arm64 too, and looked for under the same name.
func FindLibrary(explicit string) (string, error) {
	path := explicit
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("look for the ClickHouse engine library: %w: name its path in the configuration", err)
		}
		path = filepath.Join(cache, "m2mwatch", "engine", LibraryVersion, "libchdb.so")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("look for the ClickHouse engine library: %w", err)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("the ClickHouse engine library is not at %s: run `make engine` to fetch it", path)
	}
	return path, nil
}

// library is the loaded engine.
type library struct {
	path                       string
	run, message, useNoSignals uintptr
}

func loadLibrary(path string) (library, error) {
	l := library{path: path}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return l, fmt.Errorf("load the ClickHouse engine library %s: %w", path, err)
	}
	for name, symbol := range map[string]*uintptr{
		"chdb_query_cmdline":               &l.run,
		"chdb_result_error":                &l.message,
		"chdb_set_signal_handlers_enabled": &l.useNoSignals,
	} {
		if *symbol, err = purego.Dlsym(handle, name); err != nil {
			return l, fmt.Errorf("the library %s is no ClickHouse engine %s: %w", path, LibraryVersion, err)
		}
	}
	return l, nil
}

// serve runs the command line and returns when it has ended. Its own handlers
// of deadly signals are turned off: they hold a dying process for four seconds,
// its port open, where the system's default ends it at once.
func (l library) serve(args ...string) error {
	purego.SyscallN(l.useNoSignals, 0)
	argv, argc := cStrings(args...)
	result, _, _ := purego.SyscallN(l.run, uintptr(argc), uintptr(unsafe.Pointer(&argv[0])))
	runtime.KeepAlive(argv)
	if result == 0 {
		return errors.New("the ClickHouse engine ended")
	}
	text, _, _ := purego.SyscallN(l.message, result)
	return fmt.Errorf("the ClickHouse engine ended: %s", goString(text))
}
