// Auth0 Action, trigger "Machine to Machine / Credentials Exchange": tells
// m2mwatch which token was asked for, as a custom event, beside the log of it.
//
// Secrets of the Action (never in its code):
//   M2MWATCH_URL     https://m2mwatch.example.com/v1/custom/acme
//   M2MWATCH_SECRET  one of the tenant's custom_secrets
//
// Runtime Node 18 or later, no dependencies. What m2mwatch answers never stops
// an exchange, and an exchange waits for it 3 seconds at most: that is time of
// each token, so use it where the log does not tell enough.

const { randomUUID } = require('crypto');

exports.onExecuteCredentialsExchange = async (event) => {
  await send(event, 'auth0.credentials-exchange', {
    client_id: event.client.client_id,
    client_name: event.client.name,
    ip: event.request.ip,
    user_agent: event.request.user_agent,
    audience: event.resource_server?.identifier,
    scope: event.accessToken?.scope,
    organization_id: event.organization?.id,
    // What has no column is kept with the event. Never the request's body: it
    // holds the client's secret.
    metadata: event.client.metadata,
    country: event.request.geoip?.countryCode,
  });
};

// send tries twice, with the same id and time: what arrives twice is stored once.
async function send(event, type, data) {
  const body = JSON.stringify({
    specversion: '1.0', type, source: `auth0/${event.tenant.id}`,
    id: randomUUID(), time: new Date().toISOString(), data,
  });
  for (let attempt = 1; attempt <= 2; attempt++) {
    try {
      const answer = await fetch(event.secrets.M2MWATCH_URL, {
        method: 'POST',
        headers: { 'Content-Type': 'application/cloudevents+json', Authorization: `Bearer ${event.secrets.M2MWATCH_SECRET}` },
        body,
        signal: AbortSignal.timeout(1500),
      });
      if (answer.ok) return;
      console.log(`m2mwatch: ${answer.status} ${await answer.text()}`);
      if (answer.status < 500) return;
    } catch (error) {
      console.log(`m2mwatch: ${error.message}`);
    }
  }
}
