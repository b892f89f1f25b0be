package provision

// credentialsMax is how many keys an application can have at a time. Source:
// Auth0, "Rotate credentials".
const credentialsMax = 2

// defaultAlg is how an application signs that says nothing else.
const defaultAlg = "RS256"
