package doctor

import (
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

func TestEveryProblemOfTheConfigurationIsANote(t *testing.T) {
	file := write(t, "m2mwatch.yaml", "nats: {replicas: 2}\nunknown: 1\nlog: {format: xml}\n", 0o600)
	origin := config.Origin{File: file}
	c, problem := config.Inspect(origin)
	r := look(t, Config{Settings: c, Problem: problem, Origin: origin}, "configuration")
	for _, want := range []string{"nats.replicas", "unknown keys: unknown", "log.format"} {
		wantNote(t, r, StateFail, want)
	}
	r = look(t, Config{Settings: settings(t)}, "configuration")
	wantNote(t, r, StateOK, "defaults")
}
