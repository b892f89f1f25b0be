package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const repository = "../.."

// composed is docker-compose.yml as Compose reads it, with an empty environment.
func composed(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(repository, "docker-compose.yml")}, cli.WithWorkingDirectory(repository))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestComposeResolves claims that everything that docker-compose.yml names is
// there: files, secrets that somebody is told to make, volumes, health checks of
// those that are waited for.
func TestComposeResolves(t *testing.T) {
	project := composed(t)
	if names := project.ServiceNames(); !slices.Equal(names, []string{"clickhouse", "ingest", "nats", "process", "query"}) {
		t.Fatalf("services %v", names)
	}
	told, err := os.ReadFile(filepath.Join(repository, "deploy/secrets/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range project.Secrets {
		if filepath.Base(secret.File) != name || !strings.Contains(string(told), ">"+name) {
			t.Errorf("nobody is told to make the secret %s in %s", name, secret.File)
		}
	}
	for name, config := range project.Configs {
		if _, err := os.Stat(config.File); err != nil {
			t.Errorf("config %s: %v", name, err)
		}
	}
	published := map[string]string{}
	for name, service := range project.Services {
		if service.HealthCheck == nil || len(service.HealthCheck.Test) < 2 || service.HealthCheck.Test[0] != "CMD" {
			t.Errorf("%s has no health command", name)
		}
		for other, dependency := range service.DependsOn {
			if dependency.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s does not wait until %s is healthy", name, other)
			}
		}
		for _, volume := range service.Volumes {
			if _, declared := project.Volumes[volume.Source]; volume.Type != types.VolumeTypeVolume || !declared {
				t.Errorf("%s: volume %s is not declared", name, volume.Source)
			}
		}
		for _, secret := range service.Secrets {
			if _, declared := project.Secrets[secret.Source]; !declared {
				t.Errorf("%s: secret %s is not declared", name, secret.Source)
			}
		}
		for _, config := range service.Configs {
			if _, declared := project.Configs[config.Source]; !declared {
				t.Errorf("%s: config %s is not declared", name, config.Source)
			}
		}
		for _, port := range service.Ports {
			if other := published[port.Published]; other != "" {
				t.Errorf("%s and %s both publish port %s", name, other, port.Published)
			}
			published[port.Published] = name
		}
		if service.Build != nil {
			if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for variable, value := range service.Environment {
			if value == nil {
				t.Errorf("%s: %s has no value", name, variable)
			}
		}
	}
	if published["8081"] != "ingest" || published["8080"] != "query" || len(published) != 2 {
		t.Errorf("published ports %v, want the webhook and the API", published)
	}
}

// given says which secrets each service has, and no others.
var given = map[string][]string{
	"nats":       {"nats_password", "nats_api_password"},
	"clickhouse": {"clickhouse_password", "clickhouse_api_password"},
	"ingest":     {"webhook_secret", "metrics_token", "nats_password"},
	"process":    {"metrics_token", "nats_password", "clickhouse_password"},
	"query":      {"api_token", "nats_api_password", "clickhouse_api_password"},
}

var secretPath = regexp.MustCompile(`/run/secrets/(\w+)`)

// TestNoServiceIsGivenASecretThatItDoesNotUse claims that what is mounted is
// what the service's configuration or its entrypoint reads, and that a stage's
// configuration has nothing that the stage does not ask for.
func TestNoServiceIsGivenASecretThatItDoesNotUse(t *testing.T) {
	project := composed(t)
	for name, service := range project.Services {
		var mounted, read []string
		for _, secret := range service.Secrets {
			mounted = append(mounted, secret.Source)
		}
		text := strings.Join(service.Entrypoint, " ")
		if service.Build != nil {
			text = stageConfig(t, project, name)
		}
		for _, m := range secretPath.FindAllStringSubmatch(text, -1) {
			read = append(read, m[1])
		}
		for _, names := range [][]string{mounted, read, given[name]} {
			slices.Sort(names)
		}
		if diff := cmp.Diff(given[name], mounted); diff != "" {
			t.Errorf("%s: mounted (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(given[name], read); diff != "" {
			t.Errorf("%s: read (-want +got):\n%s", name, diff)
		}
	}
	for name, has := range map[string]func(*config.Config) bool{
		"ingest": func(c *config.Config) bool {
			return c.ClickHouse.URL == "" && len(c.Tenants) > 0 && c.NATS.URL != ""
		},
		"process": func(c *config.Config) bool {
			return c.ClickHouse.URL != "" && len(c.Tenants) == 0 && c.NATS.URL != ""
		},
		"query": func(c *config.Config) bool {
			return c.ClickHouse.URL != "" && len(c.Tenants) == 0 && c.NATS.URL != "" && c.NATS.User == "api"
		},
	} {
		file := filepath.Join(t.TempDir(), "m2mwatch.yaml")
		if err := os.WriteFile(file, []byte(stageConfig(t, project, name)), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, _ := config.Inspect(config.Origin{File: file}); !has(c) { // the secrets are not there
			t.Errorf("%s has what another stage asks for, or lacks what it asks for itself:\n%+v", name, c)
		}
	}
}

// stageConfig is the text of the one configuration that a stage is given, where
// the program looks for it.
func stageConfig(t *testing.T, project *types.Project, name string) string {
	t.Helper()
	service := project.Services[name]
	if len(service.Configs) != 1 || *service.Environment["M2MWATCH_CONFIG"] != service.Configs[0].Target {
		t.Fatalf("%s: configs %v, M2MWATCH_CONFIG %v", name, service.Configs, service.Environment["M2MWATCH_CONFIG"])
	}
	text, err := os.ReadFile(project.Configs[service.Configs[0].Source].File)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestComposedUserOfTheAPIHasTheRightsOfTheEmbeddedOne compares the grants with
// those by which every other test asks its questions.
func TestComposedUserOfTheAPIHasTheRightsOfTheEmbeddedOne(t *testing.T) {
	grants := func(file, user, database string) []string {
		text, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			t.Fatal(err)
		}
		_, part, _ := strings.Cut(string(text), "<users>")
		_, part, _ = strings.Cut(part, "<"+user+">")
		part, _, _ = strings.Cut(part, "</"+user+">")
		var all []string
		for _, m := range regexp.MustCompile(`<query>(.*)</query>`).FindAllStringSubmatch(part, -1) {
			all = append(all, strings.ReplaceAll(m[1], database, "DATABASE"))
		}
		return all
	}
	want := grants("internal/clickhouse/engine_users.xml", "api", "m2mwatch*.*")
	got := grants("deploy/clickhouse-users.xml", "api", "m2mwatch.*")
	if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestComposedStagesRun runs the stages of docker-compose.yml as processes, each
// with its command, its environment, its configuration and the secrets that it
// is given, against a nats-server with its own and an engine outside. Names of
// hosts, paths within containers and ports are replaced by those of this machine.
func TestComposedStagesRun(t *testing.T) {
	project := composed(t)
	engine := clickhousetest.Own(t, clickhouse.EngineConfig{})
	app, api := storeUser(t, engine, clickhouse.RoleApp), storeUser(t, engine, clickhouse.RoleAPI)
	secrets := map[string]string{
		"webhook_secret": testSecret, "api_token": testToken, "metrics_token": "metrics-token-of-the-tests",
		"nats_password": "12e4composed", "nats_api_password": "34e5composed",
		"clickhouse_password": password(app), "clickhouse_api_password": password(api),
	}
	broker := composedBroker(t, project, secrets)
	stages := map[string]*instance{}
	for _, name := range []string{"process", "ingest", "query"} {
		dir := t.TempDir() // has what the container has
		for _, secret := range project.Services[name].Secrets {
			if err := os.WriteFile(filepath.Join(dir, secret.Source), []byte(secrets[secret.Source]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		here := strings.NewReplacer(
			"/run/secrets/", dir+"/", "nats://nats:4222", broker.url(), "0.0.0.0:8080", "127.0.0.1:0", "0.0.0.0:8081", "127.0.0.1:0",
			"m2mwatch@clickhouse:9000/m2mwatch", app.User.Username()+"@"+app.Host+"/m2mwatch_composed",
			"api@clickhouse:9000/m2mwatch", api.User.Username()+"@"+api.Host+"/m2mwatch_composed",
			"data: /data", "data: "+filepath.Join(dir, "data"),
		)
		file := filepath.Join(dir, "m2mwatch.yaml")
		if err := os.WriteFile(file, []byte(here.Replace(stageConfig(t, project, name))+"store: {retention: 0}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env := []string{"M2MWATCH_CONFIG=" + file}
		stages[name] = startProgram(t, env, project.Services[name].Command...)
		ready := exec.Command(programPath(t), project.Services[name].HealthCheck.Test[2:]...) // without CMD and the program
		ready.Env = append(cleanEnviron(), append(env, "M2MWATCH_LISTEN="+strings.TrimPrefix(stages[name].api, "http://"))...)
		if out, err := ready.CombinedOutput(); err != nil {
			t.Errorf("%s is not healthy: %v\n%s", name, err, out)
		}
	}
	query := stages["query"]
	t.Cleanup(func() { // what was refused is what a timeout above comes of
		for line := range strings.Lines(broker.said()) {
			if strings.Contains(line, "Violation") {
				t.Errorf("the broker refused something: %s", line)
			}
		}
	})
	query.webhook = "http://" + stages["ingest"].hook + "/v1/logs/acme"
	logID, raw := record(1, epoch, "seccft", "a", "192.0.2")
	if status, accepted, _ := query.post([]byte(raw)); status != http.StatusOK || accepted != 1 {
		t.Fatalf("status %d, %d accepted", status, accepted)
	}
	query.settle()
	query.checkOnce(map[string]bool{logID: true})
	deadOf(query)
	for _, i := range stages {
		i.interrupt()
		for name, secret := range secrets {
			if strings.Contains(i.log(), secret) {
				t.Errorf("a log holds %s", name)
			}
		}
		if strings.Contains(i.log(), "ermissions") {
			t.Errorf("the broker or the store refused something:\n%s", i.log())
		}
	}
}

// deadOf has logs that cannot be read listed, shown, replayed and discarded, one
// of them too large for a message.
func deadOf(query *instance) {
	t := query.tb
	t.Helper()
	for _, body := range []string{"no log", strings.Repeat("no log", 1<<18)} {
		if status, _, dead := query.post([]byte(body)); status != http.StatusOK || dead != 1 {
			t.Fatalf("status %d, %d dead", status, dead)
		}
	}
	ask := func(method, path string) []byte {
		t.Helper()
		request, err := http.NewRequest(method, query.api+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+testToken)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %.1000s, %v", method, path, response.Status, body, err)
		}
		return body
	}
	var page schemas.DeadPage
	query.mustGet("/v1/dead", &page)
	if len(page.Dead) != 2 {
		t.Fatalf("got %+v", page)
	}
	for _, dead := range page.Dead {
		if raw := ask(http.MethodGet, fmt.Sprintf("/v1/dead/%d?raw=true", dead.ID)); int64(len(raw)) != dead.Size {
			t.Errorf("%d bytes of %+v", len(raw), dead)
		}
	}
	ask(http.MethodPost, "/v1/dead/replay")
	query.settle() // what was replayed is dead again
	ask(http.MethodPost, "/v1/dead/discard")
	query.mustGet("/v1/dead", &page)
	if len(page.Dead) != 0 {
		t.Errorf("still dead: %+v", page)
	}
}

func storeUser(t *testing.T, engine *clickhouse.Engine, role clickhouse.Role) *url.URL {
	t.Helper()
	u, err := url.Parse(engine.Options(role).URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func password(u *url.URL) string {
	p, _ := u.User.Password()
	return p
}

// composedBroker is a nats-server with the configuration of the compose file.
func composedBroker(t *testing.T, project *types.Project, secrets map[string]string) *broker {
	t.Helper()
	b := startBroker(t)
	b.kill()
	text, err := os.ReadFile(project.Configs["nats.conf"].File)
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer(
		"port: 4222\n", "listen: \""+b.addr+"\"\n", `http: "127.0.0.1:8222"`, `http: "127.0.0.1:-1"`, `"/data"`, `"`+filepath.Join(t.TempDir(), "js")+`"`,
	).Replace(string(text))
	for _, want := range []string{b.addr, "127.0.0.1:-1", "sync_interval: always"} {
		if !strings.Contains(here, want) {
			t.Fatalf("deploy/nats.conf has no longer what this test replaces: no %s in\n%s", want, here)
		}
	}
	if err := os.WriteFile(b.config, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	entrypoint := strings.ReplaceAll(strings.Join(project.Services["nats"].Entrypoint, " "), "$$", "$")
	for _, name := range given["nats"] {
		variable := strings.ToUpper(name)
		t.Setenv(variable, "'"+secrets[name]+"'") // as the entrypoint does
		if !strings.Contains(here, "$"+variable) || !strings.Contains(entrypoint, variable+`="'$(cat /run/secrets/`+name+`)'"`) {
			t.Errorf("%s: the configuration of nats does not read it, or its entrypoint does not quote it: %s", variable, entrypoint)
		}
	}
	b.start()
	return b
}
