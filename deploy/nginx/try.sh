#!/bin/sh
# Runs nginx.conf on this machine: nginx, m2mwatch and `custom send` on loopback,
# everything in a temporary folder. From the root of the repository:
#
#   make build engine && sh deploy/nginx/try.sh
#
# It needs nginx, libnginx-mod-http-js, curl and jq.
set -eu

dir=$(mktemp -d)
web=$(mktemp -d) # nginx's own: its workers are another user's, and see no more of $dir than others do
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$PWD/bin/m2mwatch}
modules=${MODULES:-/usr/lib/nginx/modules}
port=${PORT:-18090} api=${API_PORT:-18091}
secret=a-secret-for-custom-events token=a-token-of-the-api-itself
pids=
stop() {
    for pid in $pids; do kill "$pid" 2>/dev/null || :; done
    wait
    rm -rf "$dir" "$web"
}
trap stop EXIT
trap 'exit 1' INT TERM

fail() {
    echo "try.sh: $1" >&2
    cat "$dir"/*.log "$web"/*.log "$web/token-uses.jsonl" >&2 || :
    exit 1
}

# within waits until a command succeeds.
within() {
    what=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 150 ] || fail "not within 30 s: $what"
        sleep 0.2
    done
}

cat >"$dir/m2mwatch.yaml" <<END
data: $dir/data
listen: 127.0.0.1:$api
tenants: [{name: acme, secrets: [the-secret-of-the-log-stream], custom_secrets: [$secret]}]
api: {tokens: [{name: try, token: $token}]}
END
"$bin" up --config "$dir/m2mwatch.yaml" 2>"$dir/m2mwatch.log" &
pids="$pids $!"

sed -e "s|DIR|$web|g" -e "s|DEPLOY|$here|g" -e "s|PORT|$port|g" -e "s|MODULES|$modules|g" "$here/nginx.conf" >"$web/nginx.conf"
touch "$web/token-uses.jsonl" && chmod -R a+rwX "$web"
nginx -c "$web/nginx.conf" -p "$web" -e "$web/error.log" &
pids="$pids $!"

ask() { curl -fsS -H "Authorization: Bearer $token" "http://127.0.0.1:$api$1"; }
ready() { ask /readyz >/dev/null 2>&1; }
serving() { curl -s -o "$dir/none" "http://127.0.0.1:$port/"; }
within "m2mwatch is ready" ready
within "nginx serves" serving

mkfifo "$dir/lines"
tail -n +1 -F "$web/token-uses.jsonl" >"$dir/lines" 2>/dev/null &
pids="$pids $!"
echo "$secret" >"$dir/custom.secret"
"$bin" custom send --tenant acme --url "http://127.0.0.1:$api" --secret-file "$dir/custom.secret" - <"$dir/lines" >"$dir/send.log" 2>&1 &
pids="$pids $!"

# jwt makes a token that nobody signed: header, claims, "signature".
jwt() {
    printf 'e30.%s.%s' "$(printf '%s' "$1" | base64 -w0 | tr '+/' '-_' | tr -d '=')" "$2"
}
claims='{"jti":"try-1","azp":"invoice-sync","sub":"invoice-sync@clients","aud":["https://api.example.com"],"scope":"read:invoices write:invoices","sentence":"déjà vu"}'
get() { curl -s -o "$dir/none" -H "Authorization: Bearer $1" -H "$2" "http://127.0.0.1:$port/invoices?x=1"; }

get "$(jwt "$claims" good)" 'User-Agent: curl "quoted" \ and more'
get "$(jwt "$claims" good)" 'X-Nothing: 1'
get "$(jwt "$claims" good)" "$(printf 'User-Agent: \377\376')" # no UTF-8
get "$(jwt "$claims" forged)" 'X-Nothing: 1'                      # 401
get "$(jwt '{"sub":"no jti"}' good)" 'X-Nothing: 1'
get "no.token-at-all.good" 'X-Nothing: 1'
get "" 'X-Nothing: 1'

three() { [ "$(ask /v1/tokens/acme/try-1 2>/dev/null | jq .use_count)" = 3 ]; }
within "three uses are stored" three
mv "$web/token-uses.jsonl" "$web/token-uses.jsonl.1" # logrotate
kill -USR1 "$(cat "$web/nginx.pid")"
reopened() { [ -e "$web/token-uses.jsonl" ]; }
within "nginx opens a new log" reopened
get "$(jwt "$claims" good)" 'X-Nothing: 1'
four() { [ "$(ask /v1/tokens/acme/try-1 2>/dev/null | jq .use_count)" = 4 ]; }
within "a use after the log was rotated is stored" four

[ "$(stat -c %a "$dir/data")" = 700 ] || fail "others may look into the data directory"
[ "$(ask '/v1/events?tenant=acme' | jq '.events | length')" = 4 ] || fail "more than the four uses are stored"
ask /v1/tokens/acme/try-1 | jq -c '.places[], (.uses[] | [.type, .identity.id, .method, .path, .user_agent])'
echo "try.sh: four uses were told, and what the API refused was not"
