// Package auth0 speaks to one Auth0 tenant: its token endpoint and its
// Management API, by go-auth0 with its retries off and a transport of ours
// instead.
//
// What the transport promises, for every call:
//
//   - Without a token nothing is sent; the error is that of the token endpoint.
//   - Calls are held back before the tenant's bucket is empty, all of a Client's
//     together.
//   - 429 is waited out until X-RateLimit-Reset, whatever the method: nothing was
//     done. The wait ends with the context.
//   - A 5xx and a lost answer are repeated for GET, PUT and DELETE only. After a
//     POST or PATCH the error is ErrMaybeDone: look before you do it again.
//   - 401 drops the token and tries once with a new one.
//   - Every other refusal is an *APIError.
//   - A token goes to the tenant's own host alone, redirects are not followed, and
//     neither secrets nor tokens are in an error.
package auth0
