package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
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

// TestComposedStagesRun runs the stages of docker-compose.yml as processes, with
// their commands and their configuration, against a nats-server with its own and
// an engine outside. Names of hosts, paths within containers and ports are
// replaced by those of this machine.
func TestComposedStagesRun(t *testing.T) {
	project := composed(t)
	dir := t.TempDir()
	engine := clickhousetest.Own(t, clickhouse.EngineConfig{})
	store, err := url.Parse(engine.Options(clickhouse.RoleApp).URL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := store.User.Password()
	secrets := map[string]string{
		"webhook_secret": testSecret, "api_token": testToken, "nats_password": "12e4composed", "clickhouse_password": password,
	}
	for name := range project.Secrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secrets[name]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broker := composedBroker(t, project, secrets["nats_password"])
	text, err := os.ReadFile(project.Configs["m2mwatch"].File)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "m2mwatch.yaml")
	here := strings.NewReplacer(
		"/run/secrets/", dir+"/", "nats://nats:4222", broker.url(),
		"m2mwatch@clickhouse:9000/m2mwatch", store.User.Username()+"@"+store.Host+"/m2mwatch_composed",
		"data: /data\n", "store: {retention: 0}\n",
	)
	if err := os.WriteFile(config, []byte(here.Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	stages := map[string]*instance{}
	for _, name := range []string{"process", "ingest", "query"} {
		service := project.Services[name]
		args := slices.Clone([]string(service.Command))
		for i, arg := range args {
			args[i] = strings.NewReplacer("0.0.0.0:8080", "127.0.0.1:0", "0.0.0.0:8081", "127.0.0.1:0").Replace(arg)
			if arg == "/m2mwatch" {
				args[i] = config
			}
		}
		env := []string{"M2MWATCH_DATA=" + filepath.Join(dir, name)}
		stages[name] = startProgram(t, env, args...)
		check := slices.Clone(service.HealthCheck.Test[2:]) // without CMD and the program
		check[slices.Index(check, "/m2mwatch")] = config
		ready := exec.Command(programPath(t), append(check, "--url", stages[name].api)...)
		ready.Env = append(cleanEnviron(), env...)
		if out, err := ready.CombinedOutput(); err != nil {
			t.Errorf("%s is not healthy: %v\n%s", name, err, out)
		}
	}
	api := stages["query"]
	api.webhook = "http://" + stages["ingest"].hook + "/v1/logs/acme"
	logID, raw := record(1, epoch, "seccft", "a", "192.0.2")
	if status, accepted, _ := api.post([]byte(raw)); status != http.StatusOK || accepted != 1 {
		t.Fatalf("status %d, %d accepted", status, accepted)
	}
	api.settle()
	api.checkOnce(map[string]bool{logID: true})
	for _, i := range stages {
		i.interrupt()
		for name, secret := range secrets {
			if strings.Contains(i.log(), secret) {
				t.Errorf("a log holds %s", name)
			}
		}
	}
}

// composedBroker is a nats-server with the configuration of the compose file.
func composedBroker(t *testing.T, project *types.Project, password string) *broker {
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
	for _, want := range []string{b.addr, "127.0.0.1:-1", "sync_interval: always", "$NATS_PASSWORD"} {
		if !strings.Contains(here, want) {
			t.Fatalf("deploy/nats.conf has no longer what this test replaces: no %s in\n%s", want, here)
		}
	}
	if err := os.WriteFile(b.config, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_PASSWORD", "'"+password+"'") // as the entrypoint does
	b.start()
	if entrypoint := strings.Join(project.Services["nats"].Entrypoint, " "); !strings.Contains(entrypoint, `NATS_PASSWORD="'$(cat /run/secrets/nats_password)'"`) && !strings.Contains(entrypoint, `NATS_PASSWORD="'$$(cat /run/secrets/nats_password)'"`) {
		t.Errorf("the entrypoint of nats does not quote the password: %s", entrypoint)
	}
	return b
}
