#!/bin/sh
# Puts configuration and the files of system services in their places, after the programs were
# installed (npm install --global --prefix /usr pushpin-VERSION.tgz). Nothing that is there is
# overwritten in /etc. For a package: DESTDIR=... PREFIX=/usr sh install.sh
set -eu

here=$(cd "$(dirname "$0")" && pwd)
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr}
ETC=$DESTDIR/etc
UNITS=$DESTDIR/usr/lib/systemd/system

# put FILE DIRECTORY [NAME]
put() {
  mkdir -p "$2"
  sed "s|/usr/bin/|$PREFIX/bin/|g" "$1" > "$2/${3:-$(basename "$1")}"
  chmod 644 "$2/${3:-$(basename "$1")}"
}

# keep FILE DIRECTORY [NAME]: only if there is none
keep() {
  if [ -e "$2/${3:-$(basename "$1")}" ]; then
    echo "kept: $2/${3:-$(basename "$1")}"
  else
    put "$@"
  fi
}

for unit in "$here"/systemd/*; do put "$unit" "$UNITS"; done
put "$here/tmpfiles.d/pushpin.conf" "$DESTDIR/usr/lib/tmpfiles.d"
put "$here/sysusers.d/pushpin.conf" "$DESTDIR/usr/lib/sysusers.d"
for page in "$here"/../man/*; do put "$page" "$DESTDIR$PREFIX/share/man/man${page##*.}"; done

mkdir -p "$ETC/pushpin/runner/certs"
config=$(mktemp)
sed -e 's|^rundir=.*|rundir=/run/pushpin|' -e 's|^logdir=.*|logdir=/var/log/pushpin|' \
  "$here/../config/pushpin.conf" > "$config"
keep "$config" "$ETC/pushpin" pushpin.conf
rm -f "$config"
keep "$here/../config/routes" "$ETC/pushpin"
keep "$here/logrotate/pushpin" "$ETC/logrotate.d"

if [ -z "$DESTDIR" ] && command -v systemctl > /dev/null && [ -d /run/systemd/system ]; then
  systemd-sysusers pushpin.conf
  systemd-tmpfiles --create pushpin.conf
  systemctl daemon-reload
fi
echo "Next: your backend in /etc/pushpin/routes, then: systemctl enable --now pushpin"
