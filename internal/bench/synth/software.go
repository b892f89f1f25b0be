package synth

import "fmt"

// software is what sends requests.
type software struct {
	agent    string
	sdk      *sdk // of Auth0-Client, nil for none
	ja3, ja4 string
	made     func(minor int) (agent string, s *sdk) // of a minor version
	minor    int
}

type sdk struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// runtimes are what machines are written in.
var runtimes = []func(minor int) (string, *sdk){
	func(v int) (string, *sdk) { return "node-fetch/1.0", &sdk{"auth0.js-node", fmt.Sprintf("4.%d.0", v)} },
	func(v int) (string, *sdk) { return fmt.Sprintf("axios/1.%d.2", v), nil },
	func(v int) (string, *sdk) { return fmt.Sprintf("python-requests/2.%d.0", 20+v), nil },
	func(v int) (string, *sdk) { return "Python/3.12", &sdk{"auth0-python", fmt.Sprintf("4.%d.1", v)} },
	func(int) (string, *sdk) { return "Go-http-client/2.0", nil },
	func(v int) (string, *sdk) {
		return "Go-Auth0/1." + fmt.Sprint(v) + ".0", &sdk{"go-auth0", fmt.Sprintf("1.%d.0", v)}
	},
	func(v int) (string, *sdk) {
		return fmt.Sprintf("okhttp/4.%d.0", v), &sdk{"auth0-java", fmt.Sprintf("2.%d.0", v)}
	},
	func(v int) (string, *sdk) { return fmt.Sprintf("Java/17.0.%d", v), nil },
	func(v int) (string, *sdk) { return fmt.Sprintf("Faraday v2.%d.0", v), nil },
	func(v int) (string, *sdk) { return fmt.Sprintf("GuzzleHttp/7.%d", v), nil },
	func(v int) (string, *sdk) { return "RestSharp/110." + fmt.Sprint(v) + ".0.0", nil },
}

// tools are what people and attackers use.
var tools = []string{
	"curl/8.5.0", "PostmanRuntime/7.43.0", "insomnia/10.3.0", "python-requests/2.31.0", "Go-http-client/1.1",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
	"HTTPie/3.2.2", "node", "libwww-perl/6.68",
}

// byHand are those of tools that only people use.
var byHand = []string{tools[0], tools[1], tools[2], tools[5], tools[6]}

const (
	postman   = 1
	terraform = "Go-Auth0/1.20.0 Auth0-Terraform-Provider/1.14.0 (linux; amd64)"
)

func (g *generator) fingerprint(s software) software {
	s.ja3 = g.text(hex, 32)
	s.ja4 = fmt.Sprintf("t13d%02d%02dh2_%s_%s", 10+g.r.IntN(40), 8+g.r.IntN(10), g.text(hex, 12), g.text(hex, 12))
	return s
}

func (g *generator) runtime() software {
	s := software{made: pick(g, runtimes), minor: 3 + g.r.IntN(8)}
	s.agent, s.sdk = s.made(s.minor)
	return g.fingerprint(s)
}

// tool is a person's, with a fingerprint of its own.
func (g *generator) tool(agents []string) software {
	return g.fingerprint(software{agent: pick(g, agents)})
}

// upgraded is the same runtime in its next minor version.
func (s software) upgraded() software {
	if s.made != nil {
		s.minor++
		s.agent, s.sdk = s.made(s.minor)
	}
	return s
}
