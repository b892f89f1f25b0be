package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func maskString(raw string, valid bool) (string, bool) {
	out, masked := new(masker).mask([]byte(raw), valid)
	return string(out), masked
}

func TestMaskReplacesTheValuesOfSecrets(t *testing.T) {
	for _, test := range []struct{ name, raw, want string }{
		{"client secret", `{"client_secret":"s3","client_id":"c"}`, `{"client_secret":"***","client_id":"c"}`},
		{"space stays", "{ \"client_secret\" :\n \"s3\" , \"a\" : 1 }", "{ \"client_secret\" :\n \"***\" , \"a\" : 1 }"},
		{"camel case", `{"clientSecret":"s3"}`, `{"clientSecret":"***"}`},
		{"header case", `{"headers":{"Set-Cookie":"a=b","AUTHORIZATION":"Bearer x"}}`, `{"headers":{"Set-Cookie":"***","AUTHORIZATION":"***"}}`},
		{"escaped key", `{"client\u005fsecret":"s3"}`, `{"client\u005fsecret":"***"}`},
		{"escaped letters", `{"\u0063lient_s\u0065cret":"s3"}`, `{"\u0063lient_s\u0065cret":"***"}`},
		{"escaped value", `{"password":"a\"b\\","x":"y"}`, `{"password":"***","x":"y"}`},
		{"number", `{"otp":123456,"password":-1.5e3}`, `{"otp":"***","password":"***"}`},
		{"array", `{"client_secret":["a",["b",null],{"name":"kept"}]}`, `{"client_secret":["***",["***",null],{"name":"kept"}]}`},
		{"object below", `{"refresh_token":{"session_id":"kept","token":"t"}}`, `{"refresh_token":{"session_id":"kept","token":"***"}}`},
		{"families", `{"ext_access_token":"a","splunkToken":"b","totp_secret":"c","datadogApiKey":"d","segmentWriteKey":"e"}`, `{"ext_access_token":"***","splunkToken":"***","totp_secret":"***","datadogApiKey":"***","segmentWriteKey":"***"}`},
		{"log stream", `{"sink":{"httpAuthorization":"Bearer x","httpCustomHeaders":[{"header":"X-Key","value":"v"}]}}`, `{"sink":{"httpAuthorization":"***","httpCustomHeaders":[{"header":"X-Key","value":"***"}]}}`},
		{"secrets of an action", `{"secrets":[{"name":"STRIPE","value":"sk"},{"name":"B","updated_at":"2025"}]}`, `{"secrets":[{"name":"STRIPE","value":"***"},{"name":"B","updated_at":"2025"}]}`},
		{"secrets by name", `{"secrets":{"name":"sk","B":{"C":"x"}}}`, `{"secrets":{"name":"***","B":{"C":"***"}}}`},
		{"configuration of a connection", `{"options":{"configuration":{"DB_PASS":"x"}},"configuration":{"a":"kept"}}`, `{"options":{"configuration":{"DB_PASS":"***"}},"configuration":{"a":"kept"}}`},
		{"vault connection", `{"setup":{"type":"TOKEN","token":"x","url":"https://hooks.example/x"}}`, `{"setup":{"type":"TOKEN","token":"***","url":"***"}}`},
		{"imported hash", `{"custom_password_hash":{"algorithm":"pbkdf2","hash":{"value":"h","encoding":"b64"}}}`, `{"custom_password_hash":{"algorithm":"pbkdf2","hash":{"value":"***","encoding":"b64"}}}`},
		{"configuration of a rule", `{"path":"/api/v2/rules-configs/K","body":{"value":"v"}}`, `{"path":"/api/v2/rules-configs/K","body":{"value":"***"}}`},
		{"link that acts", `{"ticket":"https://x/?ticket=y#"}`, `{"ticket":"***"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, masked := maskString(test.raw, true)
			if got != test.want || !masked {
				t.Errorf("got  %s, %v\nwant %s", got, masked, test.want)
			}
		})
	}
}

func TestMaskKnowsEveryName(t *testing.T) {
	for _, key := range append([]string{
		"ticket", "smtp_password", "passwd", "user_pwd", "webhook_authorization", "apiKey", "secret_key", "write-key", "signing_key",
		"encryption_key", "decryptionKey", "wrapped_key", "server_key", "shared_key", "license_key", "sasKey", "masterkey",
		"device_code", "passcode", "authorization_code", "cookie", "Set-Cookie", "sumoSourceAddress", "ticket_url",
		"provisioning_ticket_url", "invitation_url", "resetUrl", "verificationUrl", "code_verifier", "connectionString",
		"secret_", "secre_t", "secret ", "a_very_long_key_that_is_longer_than_what_is_folded_of_it_in_all_client_secret",
	}, secretSpellings...) {
		raw := fmt.Sprintf(`{"a":1,"%s":"PLANTED"}`, key)
		if out, _ := maskString(raw, true); strings.Contains(out, "PLANTED") {
			t.Errorf("%s keeps its value", key)
		}
		if out, _ := maskString(raw[:len(raw)-1], false); strings.Contains(out, "PLANTED") {
			t.Errorf("%s keeps its value in what is not JSON", key)
		}
	}
	for _, key := range []string{"secrets", "customHeaders", "httpCustomHeaders", "setup", "decryptionKey", "signing_key", "custom_password_hash", "passwordHash"} {
		raw := fmt.Sprintf(`{"%s":{"x":["PLANTED",{"value":"PLANTED"}]}}`, key)
		if out, _ := maskString(raw, true); strings.Contains(out, "PLANTED") {
			t.Errorf("%s keeps what it holds: %s", key, out)
		}
	}
}

func TestMaskLeavesAloneWhatIsNoSecret(t *testing.T) {
	for _, raw := range []string{
		logA, logB, logC, bare, record1300(),
		`{"client_id":"c","secret_version":"1","jti":"j","scope":"read:x","access_token_jti":"j"}`,
		`{"details":{"accessedSecrets":["client_secret"]}}`,
		`{"client_secret":"*****","password":"","token":null,"can_create_session_transfer_token":true,"password_policy":"good"}`,
		`{"description":"the \"client_secret\":\"x\" of it"}`,
		`{"name":"client_secret","value":"x"}`,
		`{"code":"access_denied","token_endpoint_auth_method":"client_secret_post","refresh_token":{"session_id":"s"}}`,
		`{"public_key":"p","keyId":"k","token_quota":{"client_credentials":{"per_day":5}}}`,
	} {
		if got, masked := maskString(raw, true); got != raw || masked {
			t.Errorf("got  %s, %v\nwant %s", got, masked, raw)
		}
	}
}

func TestMaskWorksOnWhatIsNotJSON(t *testing.T) {
	for _, test := range []struct{ raw, want string }{
		{`{"client_secret":"s3",nope}`, `{"client_secret":"***",nope}`},
		{`{"client_secret":"s3`, `{"client_secret":"***"`},
		{`{"client_secret" : s3, "a"`, `{"client_secret" : "***", "a"`},
		{`odd " quote, "client_secret":"s3","x":"y"`, `odd " quote, "client_secret":"***","x":"y"`},
		{`{"client_secret":nothing}`, `{"client_secret":"***"}`},
		{`{"client_secret":,"password":"x"`, `{"client_secret":,"password":"***"`},
		{`{"secrets":[{"name":"A","value":"v"}`, `{"secrets":[{"name":"A","value":"***"}`},
		{`{"client\u005fsecret":"s3",`, `{"client\u005fsecret":"***",`},
		{`"client_secret"`, `"client_secret"`},
		{`"client_secret":`, `"client_secret":`},
		{`{"a":"b"`, `{"a":"b"`},
		{``, ``},
	} {
		if got, masked := maskString(test.raw, false); got != test.want || masked != (got != test.raw) {
			t.Errorf("got %s, %v, want %s", got, masked, test.want)
		}
	}
}

// secretSpellings are keys that must never keep their value.
var secretSpellings = []string{
	"client_secret", `client\u005fsecret`, "clientSecret", "CLIENT-SECRET", "password", "newPassword", "access_token",
	"refresh_token", "id_token", "token", "splunkToken", "client_assertion", "private_key", "api_key", "signing_secret",
	"httpAuthorization", "secretAccessKey", "smtp_pass", "skey", "password_hash", "recovery_code", "otp",
	`\u0070\u0061\u0073\u0073\u0077\u006f\u0072\u0064`,
}

// FuzzMask checks that what is masked is valid JSON if it was before, that it
// is the same apart from the values it replaced, and that no secret planted
// anywhere in it under a secret's key survives.
func FuzzMask(f *testing.F) {
	f.Add([]byte(logA), uint8(0), uint8(0))
	f.Add([]byte(`{"client_secret":"x","a":[{"password":1}]}`), uint8(1), uint8(3))
	f.Add([]byte(`{"secrets":[{"name":"n","value":"v"}],"t":null}`), uint8(2), uint8(9))
	f.Add([]byte(`[[{"setup":{"k":["v"]}}],"\\\"",{"":{}}]`), uint8(1), uint8(30))
	f.Fuzz(func(t *testing.T, raw []byte, which, at uint8) {
		valid := isValid(raw)
		checkMasked(t, raw, valid)
		if !valid || bytes.Contains(raw, []byte("PLANTED")) {
			return
		}
		planted := plant(raw, secretSpellings[int(which)%len(secretSpellings)], int(at))
		if !isValid(planted) {
			t.Fatalf("planted %s", planted)
		}
		if out := checkMasked(t, planted, true); bytes.Contains(out, []byte("PLANTED")) {
			t.Fatalf("a secret survived: %s", out)
		}
		checkMasked(t, planted[:len(planted)-1], false)
	})
}

// plant puts a secret into one of the objects of raw, or wraps raw into one.
func plant(raw []byte, key string, at int) []byte {
	member := fmt.Sprintf(`"%s":"PLANTED\" and, \\"`, key)
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var places []int
	for {
		token, err := dec.ReadToken()
		if err != nil {
			break
		}
		if token.Kind() == '{' {
			places = append(places, int(dec.InputOffset()))
		}
	}
	if len(places) == 0 {
		return fmt.Appendf(nil, `{%s,"x":%s}`, member, raw)
	}
	i := places[at%len(places)]
	if bytes.HasPrefix(bytes.TrimLeft(raw[i:], " \t\r\n"), []byte("}")) {
		return fmt.Appendf(nil, "%s%s%s", raw[:i], member, raw[i:])
	}
	return fmt.Appendf(nil, "%s%s,%s", raw[:i], member, raw[i:])
}

func isValid(raw []byte) bool {
	return jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// checkMasked masks raw and fails unless the result is raw with some scalars
// replaced.
func checkMasked(t *testing.T, raw []byte, valid bool) []byte {
	t.Helper()
	before := bytes.Clone(raw)
	out, masked := new(masker).mask(raw, valid)
	if !bytes.Equal(before, raw) {
		t.Fatalf("%s: changed where it lies", before)
	}
	if masked == bytes.Equal(out, raw) && masked {
		t.Fatalf("%s: masked, but the same", raw)
	}
	if valid && !isValid(out) {
		t.Fatalf("%s: no longer valid: %s", raw, out)
	}
	parts := strings.Split(string(out), secretMask)
	rest := string(raw)
	for _, part := range parts {
		i := strings.Index(rest, part)
		if i < 0 {
			t.Fatalf("%s: %q of the masked one is not in it", raw, part)
		}
		rest = rest[i+len(part):]
	}
	again, _ := new(masker).mask(out, valid)
	if valid && !bytes.Equal(out, again) {
		t.Fatalf("masked twice: %s, then %s", out, again)
	}
	return out
}

func BenchmarkMask(b *testing.B) {
	plain := []byte(record1300())
	secret := []byte(strings.Replace(record1300(), `"loginsCount":113`, `"client_secret":"abcdefgh"`, 1))
	for name, raw := range map[string][]byte{"no secret": plain, "a secret": secret} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			var m masker
			for b.Loop() {
				m.mask(raw, true)
			}
		})
	}
}

func TestMaskerKeepsNoLargeBuffer(t *testing.T) {
	var m masker
	if _, masked := m.mask([]byte(`{"client_secret":"s3","x":"`+strings.Repeat("x", 1<<20)+`"}`), true); !masked {
		t.Fatal("nothing is masked")
	}
	m.shrink()
	if n := cap(m.out); n > windowBase {
		t.Errorf("%d bytes are kept for the next record", n)
	}
}
