package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTLSIsFilesOrACME(t *testing.T) {
	for text, want := range map[string][]string{
		"tls: {cert_file: a.pem, key_file: a.pem}":                                             nil,
		"tls: {acme: {hosts: [m2mwatch.example.com, xn--bcher-kva.example]}}":                  nil,
		"tls: {cert_file: a.pem}":                                                              {"both or neither"},
		"tls: {cert_file: a.pem, key_file: b.pem, acme: {hosts: [a.example]}}":                 {"want one of them"},
		"tls: {acme: {email: a@example.com}}":                                                  {"tls.acme: want hosts"},
		"tls: {acme: {directory: 'https://ca.example/dir'}}":                                   {"tls.acme: want hosts"},
		"tls: {acme: {hosts: [a.example], email: nobody, directory: 'http://ca.example/dir'}}": {"tls.acme.email", "tls.acme.directory"},
		"tls: {acme: {hosts: ['*.example.com', localhost, 192.0.2.1, 'a.example:443', A.example, '', a.example, a.example]}}": {
			`"*.example.com"`, `"localhost"`, `"192.0.2.1"`, `"a.example:443"`, `"A.example"`, `""`, "a.example is there twice",
		},
	} {
		_, err := Load(Origin{File: write(t, "c.yaml", text)})
		if want == nil && err != nil {
			t.Errorf("%s: %v", text, err)
		}
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %q in it", text, err, w)
			}
		}
	}
}

func TestACMEIsSetByFileAndEnvironment(t *testing.T) {
	file := write(t, "c.yaml", "tls: {acme: {hosts: [a.example], email: ops@example.com, ca_file: ca.pem}}")
	c, err := Load(Origin{File: file, Environ: []string{"M2MWATCH_TLS_ACME_HOSTS=[b.example]", "M2MWATCH_TLS_ACME_DIRECTORY=https://ca.example/dir"}})
	if err != nil {
		t.Fatal(err)
	}
	got := c.TLS.ACME
	if len(got.Hosts) != 1 || got.Hosts[0] != "b.example" || got.Email != "ops@example.com" || got.Directory != "https://ca.example/dir" || got.CAFile != filepath.Join(filepath.Dir(file), "ca.pem") {
		t.Errorf("got %+v", got)
	}
	if d := Default().TLS.ACME.Directory; d != "https://acme-v02.api.letsencrypt.org/directory" {
		t.Errorf("default %s", d)
	}
}
