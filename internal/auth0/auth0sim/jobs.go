package auth0sim

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

const (
	importMax        = 500 << 10
	importsAtOnceMax = 2
)

func jobOperations() []operation {
	export := fields{
		"connection_id": textMember(1, 0).matching(`^con_[A-Za-z0-9]{16}$`), "format": enumMember("json", "csv"), "limit": wholeMember(1, 0),
		"fields": listMember(0, 0, objectMember(fields{"name": textMember(1, 0), "export_as": textMember(0, 0)}.require("name"))),
	}
	verify := fields{"user_id": textMember(1, 0), "client_id": textMember(1, 0), "identity": objectMember(nil), "organization_id": textMember(1, 0)}
	return []operation{
		{"POST", "/jobs/users-imports", []string{"create:users"}, false, "Create import users job", nil, importUsers},
		{"POST", "/jobs/users-exports", []string{"read:users"}, false, "Create export users job", export, exportUsers},
		{"POST", "/jobs/verification-email", []string{"update:users"}, false, "Send an email address verification email", verify.require("user_id"), sendVerification},
		{"GET", "/jobs/{id}", []string{"create:users", "read:users"}, false, "Get a job", nil, showJob},
		{"GET", "/jobs/{id}/errors", []string{"create:users", "read:users"}, false, "Get job error details", nil, showJobErrors},
	}
}

// newJob keeps a job that is done at its JobPolls-th look and tells result then.
func (c *apiCall) newJob(kind string, more, result document) document {
	d := more.clone()
	d.set(document{"id": c.id("job_", 16), "type": kind, "status": "pending", "created_at": c.date()})
	c.jobs.put(d.text("id"), document{"shown": d, "result": result, "looks": 0})
	return d
}

// done tells whether a job has been looked at often enough.
func (c *apiCall) done(job document) bool { return job.whole("looks", 0) >= c.t.cfg.JobPolls }

func showJob(c *apiCall) (reply, error) {
	job := c.jobs.get(c.params["id"])
	if job == nil {
		return reply{}, notFound("inexistent_job", "The job does not exist.")
	}
	shown := job.child("shown").clone()
	if c.done(job) {
		shown["status"] = "completed"
		shown.set(job.child("result").clone())
	}
	job["looks"] = job.whole("looks", 0) + 1
	return reply{http.StatusOK, shown}, nil
}

func showJobErrors(c *apiCall) (reply, error) {
	if c.jobs.get(c.params["id"]) == nil {
		return reply{}, notFound("inexistent_job", "The job does not exist.")
	}
	failed := c.uploads[c.params["id"]]
	if len(failed) == 0 {
		return reply{http.StatusNoContent, nil}, nil
	}
	return reply{http.StatusOK, failed}, nil
}

func sendVerification(c *apiCall) (reply, error) {
	if _, err := c.user(c.object().text("user_id")); err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, c.newJob("verification_email", document{}, document{})}, nil
}

// importUsers imports at once; only the job's state takes its time.
func importUsers(c *apiCall) (reply, error) {
	form, err := readForm(c.header.Get("Content-Type"), c.raw)
	if err != nil {
		return reply{}, badRequest("invalid_body", "%s", err)
	}
	if len(form["users"]) > importMax {
		return reply{}, &apiError{http.StatusRequestEntityTooLarge, "Payload content length greater than maximum allowed: 512000", ""}
	}
	active := c.jobs.all(func(d document) bool { return d.child("shown").text("type") == "users_import" && !c.done(d) })
	if len(active) >= importsAtOnceMax {
		return reply{}, &apiError{http.StatusTooManyRequests, "There are 2 active import users jobs, please wait until some of them are finished and try again", "too_many_imports"}
	}
	connection := c.connections.get(form["connection_id"])
	if connection == nil {
		return reply{}, badRequest("inexistent_connection", "The connection does not exist.")
	}
	v, err := readJSON([]byte(form["users"]))
	list, ok := v.([]any)
	if err != nil || !ok {
		return reply{}, badRequest("invalid_body", "Users file is not a JSON array")
	}
	summary, failed := c.importAll(list, connection, form["upsert"] == "true")
	more := document{"connection_id": connection["id"], "connection": connection["name"]}
	job := c.newJob("users_import", more, document{"summary": summary})
	c.uploads[job.text("id")] = failed
	return reply{http.StatusAccepted, job}, nil
}

func (c *apiCall) importAll(list []any, connection document, upsert bool) (summary document, failed []document) {
	inserted, updated := 0, 0
	for _, v := range list {
		user, ok := v.(document)
		if !ok {
			user = document{}
		}
		isNew, err := c.importOne(user.clone(), connection, upsert)
		var refused *apiError
		switch {
		case errors.As(err, &refused):
			failed = append(failed, document{"user": user, "errors": []any{document{"code": cmp.Or(refused.code, "INVALID"), "message": refused.message}}})
		case isNew:
			inserted++
		default:
			updated++
		}
	}
	return document{"total": len(list), "inserted": inserted, "updated": updated, "failed": len(failed)}, failed
}

// importOne inserts a user, or overwrites what is imported of one that is there.
func (c *apiCall) importOne(user, connection document, upsert bool) (isNew bool, err error) {
	name := connection.text("name")
	known := c.users.find(func(u document) bool {
		return connectionOf(u) == name && (user["email"] != nil && strings.EqualFold(u.text("email"), user.text("email")) ||
			user["user_id"] != nil && u.text("user_id") == connection.text("strategy")+"|"+user.text("user_id"))
	})
	switch {
	case known == nil && user["email"] == nil:
		return true, badRequest("MISSING_REQUIRED_PROPERTY", "Missing required property: email")
	case known == nil:
		for _, hash := range []string{"custom_password_hash", "password_hash", "mfa_factors"} {
			delete(user, hash)
		}
		user.setDefaults(document{"connection": name, "password": "Imported-" + hexString(c.rng, 24)}) // which nobody knows
		_, err := c.newUser(user)
		return true, err
	case !upsert:
		return false, conflict("USER_EXISTS", "The user already exists")
	}
	after := known.clone()
	after.set(user.only("app_metadata", "user_metadata", "given_name", "family_name", "name", "nickname", "picture", "email_verified", "blocked"))
	after["updated_at"] = c.date()
	c.beforeChange(known.text("user_id"))
	c.users.put(known.text("user_id"), after)
	return false, nil
}

// readForm reads a multipart body into text.
func readForm(contentType string, body []byte) (map[string]string, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil, errors.New("Invalid multipart payload format") //nolint:staticcheck // the API's words
	}
	form := make(map[string]string)
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return form, nil
		}
		if err != nil {
			return nil, errors.New("Invalid multipart payload format") //nolint:staticcheck // the API's words
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, errors.New("Invalid multipart payload format") //nolint:staticcheck // the API's words
		}
		form[part.FormName()] = string(data)
	}
}

// exportUsers makes the file that a finished job points to: one object a line,
// without password hashes.
func exportUsers(c *apiCall) (reply, error) {
	asked := c.object().clone()
	if id := asked.text("connection_id"); id != "" {
		connection, err := c.connection(id)
		if err != nil {
			return reply{}, err
		}
		asked["connection"] = connection["name"]
	}
	var file strings.Builder
	n := 0
	for _, user := range c.users.all(func(u document) bool {
		return asked["connection"] == nil || connectionOf(u) == asked.text("connection")
	}) {
		if n++; n > asked.whole("limit", n) {
			break
		}
		file.WriteString(compact(exported(user, asked.documents("fields"))) + "\n")
	}
	job := c.newJob("users_export", asked, nil)
	id := job.text("id")
	c.jobs.get(id)["result"] = document{"location": c.t.issuer() + "exports/" + id + ".json.gz", "summary": document{"total": n}}
	c.exports[id+".json.gz"] = file.String()
	return reply{http.StatusOK, job}, nil
}

func exported(user document, columns []document) document {
	if len(columns) == 0 {
		return user.only("user_id", "email", "name", "connection", "created_at", "updated_at")
	}
	row := make(document)
	for _, column := range columns {
		path := strings.NewReplacer("[0]", "", "[1]", "").Replace(column.text("name"))
		name := cmp.Or(column.text("export_as"), column.text("name"))
		if v, ok := user[path]; ok {
			row[name] = v
		} else if values := user.valuesAt(path); len(values) > 0 {
			row[name] = values[0]
		}
	}
	return row
}

// serveExport serves the file of an export.
func (t *Tenant) serveExport(w http.ResponseWriter, r *http.Request) {
	s := t.api()
	s.mu.Lock()
	file, ok := s.exports[r.PathValue("file")]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, file) // the caller has gone
	_ = z.Close()
}
