package auth0sim

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// upload posts an import of users.
func upload(t *testing.T, a *apiClient, users string, more map[string]string) (int, map[string]any) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, _ := form.CreateFormFile("users", "users.json")
	_, _ = io.WriteString(file, users)
	for name, value := range more {
		_ = form.WriteField(name, value)
	}
	_ = form.Close()
	header := map[string]string{"Authorization": a.header["Authorization"], "Content-Type": form.FormDataContentType()}
	return request(t, "POST", a.base+"/jobs/users-imports", body.String(), header)
}

func TestUsersAreImportedAndExported(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 3, Machines: 4, People: 2, JobPolls: 2})
	a := administrator(t, tenant)
	var users []map[string]any
	for i := range 40 {
		users = append(users, map[string]any{"email": fmt.Sprintf("w%d@example.com", i), "app_metadata": map[string]any{"programmatic": true}})
	}
	users = append(users, map[string]any{"username": "without"})
	list, _ := json.Marshal(users)
	in := map[string]string{"connection_id": databaseConnectionID, "upsert": "true"}
	status, job := upload(t, a, string(list), in)
	if status != 202 || job["status"] != "pending" {
		t.Fatalf("import: %d %v", status, job)
	}
	path := "/jobs/" + job["id"].(string)
	var states []string
	for range 3 {
		job = a.call(200, "GET", path, "")
		states = append(states, job["status"].(string))
	}
	if fmt.Sprint(states) != "[pending pending completed]" || fmt.Sprint(job["summary"]) != "map[failed:1 inserted:40 total:41 updated:0]" {
		t.Errorf("states %v, summary %v", states, job["summary"])
	}
	if errors := string(getAs(t, a, path+"/errors")); !strings.Contains(errors, `"user":{"username":"without"}`) {
		t.Errorf("errors %s", errors)
	}
	if status, _ = upload(t, a, "["+strings.Repeat(" ", importMax)+"]", in); status != 413 {
		t.Errorf("too large: %d", status)
	}
	for _, want := range []int{202, 202, 429} {
		if status, job = upload(t, a, `[{"email":"w0@example.com","app_metadata":{"owner":"a"}}]`, in); status != want {
			t.Errorf("import beside others: %d %v, want %d", status, job, want)
		}
	}
	found := a.call(200, "GET", "/users?include_totals=true&q=email:w0@example.com", "")["users"].([]any)[0].(map[string]any)
	if fmt.Sprint(found["app_metadata"]) != "map[owner:a]" {
		t.Errorf("an upsert left %v", found["app_metadata"])
	}

	export := a.call(200, "POST", "/jobs/users-exports", `{"connection_id":"`+databaseConnectionID+`","format":"json","limit":41,"fields":[{"name":"email"},{"name":"identities[0].connection"}]}`)
	var location string
	for range 3 {
		location, _ = a.call(200, "GET", "/jobs/"+export["id"].(string), "")["location"].(string)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", strings.Replace(location, "https://acme.auth0.example", strings.TrimSuffix(a.base, "/api/v2"), 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(fetch(t, req)))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := io.ReadAll(z)
	if err != nil || strings.Count(string(lines), "\n") != 41 || !strings.Contains(string(lines), `{"email":"w7@example.com","identities[0].connection":"Username-Password-Authentication"}`) {
		t.Errorf("exported %s, %v", lines, err)
	}
}
