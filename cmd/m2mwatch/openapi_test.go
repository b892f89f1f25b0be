package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// describedIntake are the operations that take records, by path: the media types
// of the answers by status.
func describedIntake(i *instance) map[string]map[string][]string {
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Content map[string]any }
		}
	}
	i.mustGet("/v1/openapi.json", &doc)
	found := map[string]map[string][]string{}
	for path, item := range doc.Paths {
		if path != "/v1/logs/{tenant}" && path != "/v1/custom/{tenant}" && path != "/v1/import/{tenant}" {
			continue
		}
		found[path] = map[string][]string{}
		for status, response := range item["post"].Responses {
			for mediaType := range response.Content {
				found[path][status] = append(found[path][status], mediaType)
			}
		}
	}
	return found
}

// The routes that ingest has are those that are described.
func TestIntakeIsDescribed(t *testing.T) {
	e := echo.New()
	new(ingest.Ingest).Webhook(e)
	new(ingest.Ingest).Import(e)
	got := map[string]bool{}
	for _, r := range e.Routes() {
		if r.Method == http.MethodPost {
			got[strings.ReplaceAll(r.Path, ":tenant", "{tenant}")] = true
		}
	}
	want := map[string]bool{}
	for path := range describedIntake(startUp(t, filepath.Join(t.TempDir(), "data"))) {
		want[path] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-described +served):\n%s", diff)
	}
}

// TestIntakeAnswersAsItIsDescribed provokes every answer that the description has
// of the operations that take records.
func TestIntakeAnswersAsItIsDescribed(t *testing.T) {
	config := filepath.Join(t.TempDir(), "m2mwatch.yaml")
	text := fmt.Sprintf(`tenants: [{name: acme, secrets: [%q]}]
api: {tokens: [{name: test, token: %q}]}
store: {retention: 0}
clickhouse: {memory: 768MiB}
trusted_proxies: [127.0.0.1/32]
http: {body_pause: 1s}
ingest: {allow: [192.0.2.0/24], max_body: 64KiB, requests: 1}
`, testSecret, testToken)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	i := startProgram(t, nil, "up", "--config", config, "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--log-format", "json")
	described := describedIntake(i)
	if len(described) != 3 {
		t.Fatalf("described are %v", described)
	}
	_, log := record(1, epoch, "seccft", "client-a", "192.0.2")
	for path, statuses := range described {
		p := &provoker{t: t, i: i, url: i.api + strings.ReplaceAll(path, "{tenant}", "acme"), body: log, authorization: testSecret}
		switch path {
		case "/v1/custom/{tenant}":
			p.body = customUse(1, "j1", "192.0.2.1")
		case "/v1/import/{tenant}":
			p.authorization = "Bearer " + testToken
		}
		for status, mediaTypes := range statuses {
			p := *p
			if problem := answerProblem(p.provoke(status), status, mediaTypes); problem != "" {
				t.Errorf("%s, %s: %s", path, status, problem)
			}
		}
	}
}

// provoker sends what has to be answered in some way.
type provoker struct {
	t                        *testing.T
	i                        *instance
	url, body, authorization string
}

func (p *provoker) provoke(status string) *answered {
	from := "192.0.2.1"
	switch status {
	case "200":
	case "400":
		p.body = `{"specversion":"1.0","type":"x","source":"s","id":"1"}` // of Event Streams, or without a time
	case "401":
		p.authorization = "wrong"
	case "403":
		from = "198.51.100.1"
	case "404":
		p.url = strings.Replace(p.url, "acme", "globex", 1)
	case "408":
		return p.stall()
	case "413":
		p.body = strings.Repeat(" ", 64<<10) + p.body
	case "503":
		var answer *answered
		p.i.eventually("one request too many", func() error {
			held := p.half()
			defer held.Close()
			if answer = p.send(from); answer.status != http.StatusServiceUnavailable {
				return fmt.Errorf("status %d", answer.status)
			}
			return nil
		})
		return answer
	default:
		p.t.Fatalf("nothing provokes %s", status)
	}
	var answer *answered
	p.i.eventually("room for a request", func() error {
		if answer = p.send(from); answer.status == http.StatusServiceUnavailable {
			return fmt.Errorf("status %d", answer.status)
		}
		return nil
	})
	return answer
}

func (p *provoker) send(from string) *answered {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url, strings.NewReader(p.body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", p.authorization)
	request.Header.Set("X-Forwarded-For", from)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	return whole(p.t, response)
}

// answered is a response that has been read.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func whole(t *testing.T, response *http.Response) *answered {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answered{response.StatusCode, response.Header, body}
}

// half sends the beginning of a request.
func (p *provoker) half() net.Conn {
	p.t.Helper()
	host, path, _ := strings.Cut(strings.TrimPrefix(p.url, "http://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /%s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 1000\r\n\r\n{", path, host, p.authorization)
	if err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// stall waits for the answer to a request of which only the beginning comes.
func (p *provoker) stall() *answered {
	p.t.Helper()
	var answer *answered
	p.i.eventually("the end of a body's time", func() error {
		conn := p.half()
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			p.t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if answer = whole(p.t, response); answer.status == http.StatusServiceUnavailable {
			return fmt.Errorf("status %d", answer.status)
		}
		return nil
	})
	return answer
}

// answerProblem says what of an answer is not as it is described, "" where all is.
func answerProblem(got *answered, status string, mediaTypes []string) string {
	mediaType, _, _ := mime.ParseMediaType(got.header.Get("Content-Type"))
	switch {
	case fmt.Sprint(got.status) != status:
		return fmt.Sprintf("status %d: %s", got.status, got.body)
	case len(mediaTypes) != 1 || mediaType != mediaTypes[0]:
		return fmt.Sprintf("it is %s, described is %v", mediaType, mediaTypes)
	case (status == "503") != (got.header.Get("Retry-After") != ""):
		return fmt.Sprintf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	strict := json.NewDecoder(bytes.NewReader(got.body))
	strict.DisallowUnknownFields()
	if status == "200" {
		var accepted schemas.Accepted
		if err := strict.Decode(&accepted); err != nil || accepted.Accepted != 1 || accepted.Dead != 0 {
			return fmt.Sprintf("%s: %v", got.body, err)
		}
		return ""
	}
	var problem schemas.Problem
	if err := strict.Decode(&problem); err != nil || problem.Status != got.status || problem.Code == "" || problem.Detail == "" {
		return fmt.Sprintf("%s: %v", got.body, err)
	}
	return ""
}
