#!/bin/sh
# Makes what compose.yaml hands over in files: asks for the bot's token, invents the rest. What is
# there is left as it is, so that it can be run again.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Others on this machine can't enter; inside the containers, their users must be able to read.
chmod 700 secrets
umask 022

random() { head -c "$1" /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
number() { od -An -N4 -tx1 /dev/urandom | tr -d ' \n'; }

if [ ! -s secrets/discord_token ]; then
    token=${DISCORD_TOKEN:-}
    if [ -z "$token" ]; then
        printf 'The bot'\''s token (not shown): ' >&2
        trap 'stty echo 2>/dev/null || true' EXIT
        stty -echo 2>/dev/null || true
        read -r token
        echo >&2
    fi
    printf '%s' "$token" >secrets/discord_token
fi
[ -s secrets/danzar_key ] || printf 'danzar_%s_%s' "$(number)" "$(random 32)" >secrets/danzar_key
[ -s secrets/grafana_password ] || random 24 >secrets/grafana_password
echo "Made in $(pwd)/secrets: discord_token, danzar_key, grafana_password" >&2
