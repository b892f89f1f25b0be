package config

import "time"

// Management is an application of the tenant's own for the server, with read:
// scopes and no others: who takes the server over must not get the tenant with it.
type Management struct {
	ClientID         string `koanf:"client_id"`
	ClientSecret     Secret `koanf:"client_secret"`
	ClientSecretFile string `koanf:"client_secret_file"`
	// PrivateKey, PEM, is instead of a secret (private_key_jwt).
	PrivateKey     Secret `koanf:"private_key"`
	PrivateKeyFile string `koanf:"private_key_file"`
	// Audience is the Management API's identifier. Default https://DOMAIN/api/v2/;
	// another one where Domain is a custom domain.
	Audience string `koanf:"audience"`

	// Pull is whether logs are followed through the Management API: auto where the
	// tenant has no secret of a log stream, always, never. Default auto.
	Pull string `koanf:"pull"`
	// Inventory is how often applications, grants and the like are read: a span such
	// as 1h, a minute or more, or never. Default 1h.
	Inventory string `koanf:"inventory"`
	// AllowWrite lets the server use an application that may change the tenant, or
	// read its secrets. It never does either.
	AllowWrite bool `koanf:"allow_write"`
}

// Values of Management.Pull.
const (
	PullAuto   = "auto"
	PullAlways = "always"
	PullNever  = never
)

// Managed tells whether the server may ask the tenant's Management API.
func (t *Tenant) Managed() bool { return t.Management.ClientID != "" }

// Pulled tells whether the tenant's logs are followed through the Management API.
func (t *Tenant) Pulled() bool {
	switch t.Management.Pull {
	case PullAlways:
		return t.Managed()
	case PullNever:
		return false
	}
	return t.Managed() && len(t.Secrets) == 0
}

const (
	defaultInventory = time.Hour
	never            = "never"
)

// InventoryEvery is how often the tenant's inventory is read; 0 is never.
func (t *Tenant) InventoryEvery() time.Duration {
	var every Duration
	switch {
	case !t.Managed() || t.Management.Inventory == never:
		return 0
	case t.Management.Inventory == "" || every.UnmarshalText([]byte(t.Management.Inventory)) != nil:
		return defaultInventory
	}
	return time.Duration(every)
}

// management checks what a tenant has to be asked by.
func (p *problems) management(t Tenant) {
	m := t.Management
	if m == (Management{}) {
		p.check(t.Domain == "", "tenant %s: domain: there is nobody to ask it as: add management.client_id and client_secret_file, or take it away", t.Name)
		return
	}
	p.check(t.Domain != "", "tenant %s: management: want the tenant's domain, like acme.eu.auth0.com", t.Name)
	p.check(m.ClientID != "", "tenant %s: management: want client_id", t.Name)
	p.check((m.ClientSecret != "") != (m.PrivateKey != ""), "tenant %s: management: want one of client_secret_file (or client_secret) and private_key_file (or private_key)", t.Name)
	switch m.Pull {
	case "", PullAuto, PullAlways:
	case PullNever:
		p.check(len(t.Secrets) > 0, "tenant %s: management.pull is never and there is no secret of a log stream: no logs would come", t.Name)
	default:
		p.check(false, "tenant %s: management.pull %q: want auto, always or never", t.Name, m.Pull)
	}
	if m.Inventory != "" && m.Inventory != never {
		var every Duration
		err := every.UnmarshalText([]byte(m.Inventory))
		p.check(err == nil && every >= Duration(time.Minute), "tenant %s: management.inventory %q: want a span of a minute or more, such as 1h, or never", t.Name, m.Inventory)
	}
}
