// Package schemas is the vocabulary that every stage shares: the log as Auth0
// sent it, the event it is normalized to, the identity behind it, the findings
// of rules, the names of streams and subjects, and the framing of a group.
//
// It imports the standard library only, so that every stage can import it and
// none has to import another.
package schemas
