package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/certificate/certificatetest"
)

// TestListenersSpeakTLSAndTheSocketDoesNot replaces the certificate while a
// connection is open, too.
func TestListenersSpeakTLSAndTheSocketDoesNot(t *testing.T) {
	t.Parallel()
	dir, authority := t.TempDir(), certificatetest.New(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	authority.Write(t, in("cert.pem"), in("key.pem"), time.Now().Add(time.Hour), "127.0.0.1")
	config := fmt.Sprintf("tenants: [{name: acme, secrets: [%q]}]\napi: {tokens: [{name: test, token: %q}]}\ntls: {cert_file: cert.pem, key_file: key.pem}\n", testSecret, testToken)
	if err := os.WriteFile(in("m2mwatch.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	i := startProgram(t, nil, "up", "--config", in("m2mwatch.yaml"), "--data", in("data"), "--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0", "--log-format", "json")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}}}
	defer client.CloseIdleConnections()
	type reply struct {
		status int
		proto  string
		serial *big.Int // of the certificate
	}
	answer := func(client *http.Client, method, url string, header ...string) reply {
		t.Helper()
		request, err := http.NewRequest(method, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for k := 0; k < len(header); k += 2 {
			request.Header.Set(header[k], header[k+1])
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body) // so that the connection is used again
		r := reply{status: response.StatusCode, proto: response.Proto, serial: new(big.Int)}
		if response.TLS != nil {
			r.serial = response.TLS.PeerCertificates[0].SerialNumber
		}
		return r
	}

	api, hook := strings.Replace(i.api, "http:", "https:", 1), "https://"+i.hook
	first := answer(client, http.MethodGet, api+"/v1/status", "Authorization", "Bearer "+testToken)
	if first.status != http.StatusOK || first.proto != "HTTP/1.1" {
		t.Errorf("the API: got %d, %s", first.status, first.proto)
	}
	if got := answer(client, http.MethodPost, hook+"/v1/logs/acme", "Authorization", testSecret); got.status != http.StatusOK {
		t.Errorf("the webhook: got %d", got.status)
	}
	if got := answer(http.DefaultClient, http.MethodGet, i.api+"/livez"); got.status != http.StatusBadRequest {
		t.Errorf("plain HTTP: got %d", got.status)
	}
	out, err := exec.Command(programPath(t), "status", "--data", in("data")).CombinedOutput()
	if err != nil {
		t.Errorf("by the socket: %v\n%s", err, out)
	}

	// A health check, which knows the process by its certificate.
	isReady := func(env string, args ...string) error {
		t.Helper()
		cmd := exec.Command(programPath(t), append([]string{"ready", "--config", in("m2mwatch.yaml"), "--data", in("data")}, args...)...)
		cmd.Env = append(cleanEnviron(), env)
		out, err := cmd.CombinedOutput()
		if err == nil && !strings.Contains(string(out), `"ready": true`) || err != nil && len(out) == 0 {
			t.Errorf("ready %s says %s", args, out)
		}
		return err
	}
	address := "M2MWATCH_LISTEN=" + strings.TrimPrefix(api, "https://")
	for _, way := range [][]string{{address}, {"M2MWATCH_LISTEN=127.0.0.1:0"}, {"", "--url", api}} {
		if err := isReady(way[0], way[1:]...); err != nil {
			t.Errorf("%s is not ready: %v", way, err)
		}
	}

	authority.Write(t, in("cert.pem"), in("key.pem"), time.Now().Add(time.Hour), "127.0.0.1")
	i.eventually("the new certificate", func() error {
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}}}
		if answer(fresh, http.MethodGet, api+"/livez").serial.Cmp(first.serial) == 0 {
			return fmt.Errorf("still the old one")
		}
		return nil
	})
	if again := answer(client, http.MethodGet, api+"/livez"); again.serial.Cmp(first.serial) != 0 {
		t.Error("the open connection was dropped")
	}
	i.interrupt()
}

// TestCertificateComesByACME uses a directory that cannot be reached for a
// while: whatever else the process does goes on.
func TestCertificateComesByACME(t *testing.T) {
	directory := certificatetest.NewACME(t, 0)
	data := filepath.Join(t.TempDir(), "data")
	env := []string{
		"M2MWATCH_TLS_ACME_HOSTS=[m2mwatch.example]", "M2MWATCH_TLS_ACME_DIRECTORY=" + directory.URL, "M2MWATCH_TLS_ACME_CA_FILE=" + directory.CAFile,
	}
	i := startProgram(t, env, "up", "--data", data, "--listen", "127.0.0.1:0", "--log-format", "json")
	out, err := exec.Command(programPath(t), "status", "--data", data).CombinedOutput()
	if err != nil {
		t.Errorf("by the socket, without a certificate: %v\n%s", err, out)
	}
	address, err := url.Parse(i.api)
	if err != nil {
		t.Fatal(err)
	}
	isReady := func() {
		t.Helper()
		cmd := exec.Command(programPath(t), "ready", "--data", data)
		cmd.Env = append(append(cleanEnviron(), env...), "M2MWATCH_LISTEN="+address.Host)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("not ready: %v\n%s", err, out)
		}
	}
	isReady() // by the socket
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	directory.Reach(t, port)
	i.eventually("an answer over TLS", func() error {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: directory.Pool(t), ServerName: "m2mwatch.example"}}}
		response, err := client.Get("https://" + address.Host + "/livez")
		if err != nil {
			return err
		}
		response.Body.Close()
		return nil
	})
	isReady() // by the certificate that has come
	info, err := os.Stat(filepath.Join(data, "acme"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the cache: %v, %v", info, err)
	}
	if strings.Contains(i.log(), "PRIVATE KEY") {
		t.Error("the log holds a key")
	}
	i.interrupt()
}

func TestStartIsRefusedWithAKeyThatDoesNotFit(t *testing.T) {
	t.Parallel()
	dir, authority := t.TempDir(), certificatetest.New(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	authority.Write(t, in("cert.pem"), in("other.pem"), time.Now().Add(time.Hour), "127.0.0.1")
	authority.Write(t, in("other-cert.pem"), in("key.pem"), time.Now().Add(time.Hour), "127.0.0.1")
	cmd := exec.Command(programPath(t), "up", "--data", in("data"), "--listen", "127.0.0.1:0")
	cmd.Env = append(cleanEnviron(), "M2MWATCH_TLS_CERT_FILE="+in("cert.pem"), "M2MWATCH_TLS_KEY_FILE="+in("key.pem"))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), in("key.pem")) || !strings.Contains(string(out), "does not match") {
		t.Errorf("got %v: %s", err, out)
	}
}
