package auth0sim

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// log writes the log row of a call: sapi of what was changed, fapi of what was
// refused, mgmt_api_read where a secret was read. Other reads leave none.
func (c *apiCall) log(r *http.Request, answer reply, err error) {
	if r.Method == http.MethodGet && len(c.secrets) == 0 {
		return
	}
	k := call{
		description: c.op.title, method: strings.ToLower(r.Method), path: r.URL.Path, body: c.loggedBody(),
		status: strconv.Itoa(answer.status), answer: "{}", jti: c.by.jti,
	}
	var refused *apiError
	switch {
	case errors.As(err, &refused):
		k.failed, k.description, k.status, k.answer = true, refused.message, strconv.Itoa(refused.status), compact(refused.body())
	case err != nil:
		k.failed, k.description, k.status = true, err.Error(), "500"
	case answer.body != nil:
		k.answer = compact(masked(answer.body))
	}
	if r.Method == http.MethodGet {
		k.secrets = compact(anyList(c.secrets))
	}
	c.t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte {
		return c.t.appendCall(dst, r, s, &k, c.by.machine, c.by.admin, c.by.caller)
	})
}

func (c *apiCall) loggedBody() string {
	if c.body == nil {
		return "{}"
	}
	return compact(masked(c.body))
}

// masked hides passwords, as the tenant's logs do.
func masked(v any) any {
	switch v := v.(type) {
	case document:
		m := make(document, len(v))
		for name, member := range v {
			if _, isText := member.(string); isText && name == "password" {
				m[name] = "*****"
			} else {
				m[name] = masked(member)
			}
		}
		return m
	case []any:
		m := make([]any, len(v))
		for i := range v {
			m[i] = masked(v[i])
		}
		return m
	case []document:
		return masked(anyList(v))
	}
	return v
}

func compact(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "{}" // not reached: what is answered is JSON
	}
	return string(data)
}
