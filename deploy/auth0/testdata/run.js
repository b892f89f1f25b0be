// Runs an Action (standard input) of a trigger (argument) against endpoints that go
// wrong, and prints a line of JSON for each.
//
// The clock is not waited for: the Action's signal is one of ours, which is aborted
// as soon as the endpoint that hangs has the call. That the Action asked for 300 ms
// is in the line; a promise that does not end then keeps this from ending.

const http = require('http');
const { readFileSync } = require('fs');

const trigger = process.argv[2];
const handlers = { 'credentials-exchange': 'onExecuteCredentialsExchange', 'post-login': 'onExecutePostLogin' };
const code = readFileSync(0, 'utf8');

// What one run does, noted by what takes the place of the real things.
let run;

AbortSignal.timeout = (ms) => {
  const controller = new AbortController();
  run.limits.push(ms);
  run.expire = () => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  return controller.signal;
};

const quiet = (...parts) => run.said.push(parts.join(' '));
const action = { exports: {} };
const noted = (callback, ms) => { run.timers.push(ms); return setTimeout(callback, 0); };
new Function('exports', 'module', 'require', 'console', 'setTimeout', 'setInterval', code)(
  action.exports, action, require, { log: quiet, error: quiet, warn: quiet, info: quiet }, noted, noted,
);

function eventFor(url) {
  return {
    tenant: { id: 'acme' },
    secrets: { M2MWATCH_URL: url, M2MWATCH_SECRET: 'open-sesame' },
    client: { client_id: 'invoice-sync', name: 'Invoice sync', metadata: { owner: 'billing', purpose: 'invoices', m2mwatch_key: 'invoice-sync', api_token: 'hunter2' } },
    user: { user_id: 'auth0|1' },
    request: { ip: '192.0.2.1', user_agent: 'curl/8', geoip: { countryCode: 'NL' }, body: { client_secret: 'hunter2' } },
    resource_server: { identifier: 'https://api.example.com' },
    accessToken: { scope: ['read:invoices'] },
    transaction: { protocol: 'oidc-basic-profile', requested_scopes: ['openid'] },
    authentication: { methods: [{ name: 'pwd' }] },
  };
}

// serve runs what an endpoint does around what is done with its address.
async function serve(answer, withAddress) {
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      run.calls++;
      run.body = Buffer.concat(parts).toString();
      run.secret = request.headers.authorization;
      answer(response, request);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await withAddress(`http://127.0.0.1:${server.address().port}/v1/custom/acme`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function measure(name, event) {
  run = { limits: [], timers: [], calls: 0, body: '', secret: '', said: [], expire() {} };
  const begun = performance.now();
  let failed = '', returns = '';
  try {
    returns = String(await action.exports[handlers[trigger]](event, {}));
  } catch (error) {
    failed = String(error);
  }
  const { limits, timers, calls, body, secret, said } = run;
  console.log(JSON.stringify({ case: name, failed, returns, limits, timers, calls, body, secret, said: said.join('\n'), waited: performance.now() - begun }));
}

async function main() {
  const against = (name, answer) => serve(answer, (url) => measure(name, eventFor(url)));
  await against('well', (response) => response.end('{"accepted":1,"dead":0}'));
  await against('hangs before the answer', () => run.expire());
  await against('hangs within the answer', (response) => {
    response.writeHead(200);
    response.write('{"accepted"', () => run.expire());
  });
  await against('answers 500', (response) => { response.statusCode = 500; response.end('broken'); });
  await against('redirects', (response, request) => {
    if (request.url !== '/elsewhere') response.writeHead(307, { Location: '/elsewhere' });
    response.end();
  });
  await against('closes the connection', (response, request) => request.socket.destroy());
  let gone;
  await serve(() => {}, async (url) => { gone = url; });
  await measure('refuses the connection', eventFor(gone));
  await measure('no address', eventFor(undefined));
  await measure('no secrets', { ...eventFor(''), secrets: undefined });
  await measure('no event to speak of', {});
}

main().catch((error) => { console.error(error); process.exit(1); });
