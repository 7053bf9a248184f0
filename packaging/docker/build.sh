#!/bin/sh
# First step of the image, in a clone of the repository: makes the package, and puts it beside what installs it.
set -eu

out=$1
mkdir -p "$out"
[ -d node_modules ] || npm ci --ignore-scripts
npm run build
npm pack --ignore-scripts --pack-destination "$out"
cp packaging/docker/install.sh packaging/docker/pushpin-entrypoint packaging/docker/pushpin-health "$out"
