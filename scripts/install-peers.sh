#!/usr/bin/env bash
# Installs, from Debian, what tests and benchmarks compare with or drive: redis, etcd, ZooKeeper, faketime.
# Does nothing when all is there; says so and fails when something is missing and may not be installed.
set -euo pipefail

declare -A program_of=(
  [redis-tools]=/usr/bin/redis-benchmark
  [redis-server]=/usr/bin/redis-server
  [etcd-server]=/usr/bin/etcd
  [etcd-client]=/usr/bin/etcdctl
  [zookeeper]=/usr/share/java/zookeeper.jar
  [faketime]=/usr/bin/faketime
)

missing=()
for package in "${!program_of[@]}"; do
  if [ ! -e "${program_of[$package]}" ]; then missing+=("$package"); fi
done
if [ "${#missing[@]}" = 0 ]; then exit 0; fi

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (install them as root: apt-get install --no-install-recommends ${missing[*]})" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# Tests and benchmarks start their own servers on ports of their choice; no package may start another.
policy=/usr/sbin/policy-rc.d
placed=""
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  placed=yes
fi
status=0
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } || status=$?
if [ -n "$placed" ]; then rm -f "$policy"; fi
exit "$status"
