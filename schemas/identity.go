package schemas

// Kind tells what stands behind an event.
type Kind string

// The kinds.
const (
	KindMachine Kind = "machine" // an M2M application, a programmatic user, an agent
	KindHuman   Kind = "human"
	KindUnknown Kind = "unknown"
)

// Identity is the entity behind an event. ID is app:<client_id>,
// user:<user_id> or agent:<id>, or empty where the record names nobody. Reason
// says by which signal the kind was told.
type Identity struct {
	ID     string `json:"id"`
	Kind   Kind   `json:"kind"`
	Reason string `json:"reason"`
}

// AppID is the identity of an application.
func AppID(clientID string) string { return "app:" + clientID }

// UserID is the identity of a user.
func UserID(userID string) string { return "user:" + userID }

// AgentID is the identity of an AI agent, by Auth0's agent_id or its owner's
// external_agent_id.
func AgentID(agentID string) string { return "agent:" + agentID }
