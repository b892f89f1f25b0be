// Auth0 Action, trigger "Login / Post Login": tells m2mwatch what only an Action
// knows of a login, as a custom event.
//
// Secrets of the Action (never in its code):
//   M2MWATCH_URL     https://m2mwatch.example.com/v1/custom/acme
//   M2MWATCH_SECRET  one of the tenant's custom_secrets
//
// Runtime Node 18 or later, no dependencies. What m2mwatch answers never stops
// a login, and a login waits for it 3 seconds at most.

const { randomUUID } = require('crypto');

exports.onExecutePostLogin = async (event) => {
  await send(event, 'auth0.post-login', {
    client_id: event.client.client_id,
    client_name: event.client.name,
    user_id: event.user.user_id, // the user acted, through the application
    ip: event.request.ip,
    user_agent: event.request.user_agent,
    audience: event.resource_server?.identifier,
    scope: event.transaction?.requested_scopes,
    organization_id: event.organization?.id,
    outcome: 'success',
    // What has no column is kept with the event.
    protocol: event.transaction?.protocol,
    methods: event.authentication?.methods?.map((m) => m.name),
    risk: event.authentication?.riskAssessment?.confidence,
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
