// Auth0 Action, trigger "Machine to Machine / Credentials Exchange": tells
// m2mwatch which token was asked for, as a custom event, beside the log of it.
//
// Secrets of the Action (never in its code):
//   M2MWATCH_URL     https://m2mwatch.example.com/v1/custom/acme
//   M2MWATCH_SECRET  one of the tenant's custom_secrets
//
// Runtime Node 18 or later, no dependencies. It tries once, for 300 ms at most, and
// swallows every error: an m2mwatch that is down neither delays nor fails an
// exchange, and then the event is not told. Each exchange waits for the answer, so
// use it where the log does not tell enough. `m2mwatch actions deploy` installs it.

const { randomUUID } = require('crypto');

const LIMIT_MS = 300;

exports.onExecuteCredentialsExchange = async (event) => {
  await tell(event, 'auth0.credentials-exchange', () => ({
    client_id: event.client.client_id,
    client_name: event.client.name,
    ip: event.request.ip,
    user_agent: event.request.user_agent,
    audience: event.resource_server?.identifier,
    scope: event.accessToken?.scope,
    organization_id: event.organization?.id,
    // What has no column is kept with the event. Never the request's body: it
    // holds the client's secret. Nor all of the metadata, which may hold anything:
    // the members alone by which m2mwatch knows whose a machine is.
    metadata: marks(event.client.metadata),
    country: event.request.geoip?.countryCode,
  }));
};

const MARKS = ['owner', 'purpose', 'm2mwatch_key'];

function marks(metadata) {
  return Object.fromEntries(MARKS.filter((name) => metadata?.[name] !== undefined).map((name) => [name, metadata[name]]));
}

// tell never throws and never waits longer than the limit: what m2mwatch does, or does
// not, is nothing to who signs in.
async function tell(event, type, describe) {
  try {
    const body = JSON.stringify({
      specversion: '1.0', type, source: `auth0/${event.tenant.id}`,
      id: randomUUID(), time: new Date().toISOString(), data: describe(),
    });
    const answer = await fetch(event.secrets.M2MWATCH_URL, {
      method: 'POST',
      headers: { 'Content-Type': 'application/cloudevents+json', Authorization: `Bearer ${event.secrets.M2MWATCH_SECRET}` },
      body,
      redirect: 'error', // the secret is for one address
      signal: AbortSignal.timeout(LIMIT_MS), // the name's look-up and the connection count
    });
    answer.body?.cancel().catch(() => {});
  } catch {
    // Told nowhere: the tenant's log has the event anyway.
  }
}
