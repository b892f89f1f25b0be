package processor

import "strings"

// The classes of user agents.
const (
	agentNone    = ""        // the log has none
	agentUnknown = "unknown" // Auth0 could not tell: "unknown", or the Management API's rewritten form
	agentSDK     = "sdk"     // one of Auth0's
	agentInfra   = "infrastructure"
	agentCurl    = "curl"
	agentPostman = "postman"
	agentLibrary = "library" // the HTTP library of a language
	agentBrowser = "browser"
	agentOther   = "other"
)

// agentClasses tell a user agent's class by a part of it in lower case. The
// first that is in it decides: what is more particular comes first, and what a
// browser says last, as many programs claim to be one.
var agentClasses = [...]struct{ part, class string }{
	{"auth0-terraform", agentInfra},
	{"terraform", agentInfra},
	{"pulumi", agentInfra},
	{"ansible", agentInfra},
	{"auth0-deploy-cli", agentInfra},
	{"auth0", agentSDK},
	{"postman", agentPostman},
	{"insomnia", agentPostman},
	{"bruno", agentPostman},
	{"curl/", agentCurl},
	{"wget/", agentCurl},
	{"httpie/", agentCurl},
	{"powershell", agentCurl},
	{"go-http-client", agentLibrary},
	{"python", agentLibrary},
	{"aiohttp", agentLibrary},
	{"httpx", agentLibrary},
	{"okhttp", agentLibrary},
	{"java/", agentLibrary},
	{"java-http-client", agentLibrary},
	{"apache-httpclient", agentLibrary},
	{"reactornetty", agentLibrary},
	{"axios", agentLibrary},
	{"node", agentLibrary}, // node, node-fetch
	{"undici", agentLibrary},
	{"got (", agentLibrary},
	{"ruby", agentLibrary},
	{"faraday", agentLibrary},
	{"guzzlehttp", agentLibrary},
	{"restsharp", agentLibrary},
	{".net", agentLibrary},
	{"dart", agentLibrary},
	{"reqwest", agentLibrary},
	{"libwww-perl", agentLibrary},
	{"mozilla/", agentBrowser},
	{"opera/", agentBrowser},
}

// UserAgentClass tells what kind of program a user agent names: sdk (Auth0's),
// infrastructure (Terraform and its like), curl (and other command line
// tools), postman (and other API clients with a window), library, browser,
// other; unknown where Auth0 says that it could not tell, and "" for none.
func UserAgentClass(userAgent string) string {
	agent := strings.ToLower(strings.TrimSpace(userAgent))
	switch {
	case agent == "":
		return agentNone
	case agent == "unknown", strings.HasPrefix(agent, "other 0.0.0"):
		return agentUnknown
	}
	for _, c := range agentClasses {
		if strings.Contains(agent, c.part) {
			return c.class
		}
	}
	return agentOther
}
