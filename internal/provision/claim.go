package provision

// markClaim is a member of client_metadata of an application that an apply has made
// and is not through with.
const markClaim = "m2mwatch_claim"
