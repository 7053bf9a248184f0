#!/bin/sh
# Second step of the image: installs the package beside this file under the directory ROOT (empty: /).
set -eu

root=$1
here=$(cd "$(dirname "$0")" && pwd)
npm install --global --prefix "$root/usr/local" --ignore-scripts --offline --no-audit --no-fund "$here"/pushpin-*.tgz
cp "$here/pushpin-entrypoint" "$here/pushpin-health" "$root/usr/local/bin/"
chmod 755 "$root/usr/local/bin/pushpin-entrypoint" "$root/usr/local/bin/pushpin-health"

mkdir -p "$root/etc/pushpin/runner/certs" "$root/run/pushpin"
cp "$root/usr/local/lib/node_modules/pushpin/config/pushpin.conf" \
  "$root/usr/local/lib/node_modules/pushpin/config/routes" "$root/etc/pushpin/"
chown 1001:1001 "$root/run/pushpin"
chmod 755 "$root/run/pushpin"
