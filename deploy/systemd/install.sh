#!/bin/sh
# Makes Danzar a service of this machine, from the checkout in /opt/danzar. Run as root, again after
# an update; what is there already (settings, token) is left as it is.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if [ ! -x /opt/danzar/.venv/bin/danzar ]; then
    echo "there is no /opt/danzar/.venv/bin/danzar; docs/deploying.md says how it comes there" >&2
    exit 1
fi
install -D -m 0644 "$here/danzar.sysusers.conf" /etc/sysusers.d/danzar.conf
install -D -m 0644 "$here/danzar.modules.conf" /etc/modules-load.d/danzar.conf
for unit in danzar.service danzar-backup.service danzar-backup.timer; do
    install -D -m 0644 "$here/$unit" "/etc/systemd/system/$unit"
done
systemd-sysusers danzar.conf
install -d -m 0755 /etc/danzar
install -d -m 0750 -o danzar -g danzar /etc/danzar/config
if [ ! -e /etc/danzar/discord_token ]; then
    (umask 077 && : >/etc/danzar/discord_token)
    echo "put the bot's token into /etc/danzar/discord_token" >&2
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload
echo "then: systemctl enable --now danzar danzar-backup.timer" >&2
