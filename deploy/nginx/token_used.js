// The CloudEvent of a token's use, for a log of nginx; see nginx.conf beside it.
// For njs as Debian 12 has it (libnginx-mod-http-js 0.7.9) and later.

// true: one event a minute for each token, network and scope, instead of one a
// request. m2mwatch stores those that say the same once, whoever sends them.
const sampled = false;

// event is empty, so that nothing is logged, unless the request was answered
// with 2xx or 3xx and has a JSON Web Token with a jti. nginx does not verify the
// token: use it where nothing answers so that has not.
function event(r) {
    const status = Number(r.variables.status);
    const token = /^Bearer +[^.]+\.([^.]+)\.[^.]+$/i.exec(r.headersIn.Authorization || '');
    if (!token || status < 200 || status > 399) {
        return '';
    }
    let claims;
    try {
        claims = JSON.parse(Buffer.from(token[1], 'base64url').toString());
    } catch (e) {
        return '';
    }
    if (!claims || typeof claims.jti !== 'string' || claims.jti === '' || claims.jti.length > 256) {
        return '';
    }
    const ip = r.variables.remote_addr;
    const event = {
        specversion: '1.0', type: 'token.used', source: 'nginx/' + r.variables.server_name,
        id: r.variables.request_id,
        time: new Date(Number(r.variables.msec) * 1000).toISOString(),
        data: {
            jti: claims.jti, client_id: claims.azp || claims.client_id, user_id: claims.sub,
            audience: claims.aud, scope: claims.scope, organization_id: claims.org_id, ip: ip,
        },
    };
    if (sampled) {
        const minute = event.time.slice(0, 16);
        event.id = [minute, claims.jti, network(ip), claims.scope || ''].join(' ').slice(0, 1000);
        event.time = minute + ':00Z';
        return JSON.stringify(event);
    }
    event.data.method = r.method;
    event.data.path = r.uri;
    event.data.status = status;
    event.data.user_agent = r.headersIn['User-Agent'];
    return JSON.stringify(event);
}

// network is the /24 of an address; of IPv6 the address itself.
function network(ip) {
    return ip.replace(/\.\d+$/, '');
}

export default { event };
