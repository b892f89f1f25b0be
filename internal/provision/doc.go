// Package provision makes, changes and takes away the machine identities of an
// Auth0 tenant: programmatic users, roles, M2M applications, what these may use,
// and the log stream that tells of them.
//
// What each of its methods promises:
//
//   - What was answered as done is looked at before it is believed: Auth0 passes
//     over an unknown permission in silence, and answers 204 to most deletes
//     whether there was anything or not.
//   - What makes something is never repeated blindly. After a lost answer it is
//     looked for, and made again only where it is not there.
//   - An error that comes after something was made or changed says so, and what
//     is missing.
package provision
