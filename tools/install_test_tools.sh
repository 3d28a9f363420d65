#!/usr/bin/env bash
# Installs what the tests need besides Python packages, from Debian, and only what is missing.
# Where it is not root on Debian it says what is missing and how to get it, and fails. With everything there it
# takes a few milliseconds. No service is started: the tests start their own servers on ports of their own.
set -euo pipefail

attempts=3        # a mirror that is being updated answers again within seconds
pause_s=5

# What must be there: a program on PATH, or one of several paths, and the Debian package that brings it.
missing=()
for need in redis-server:redis-server ffmpeg:ffmpeg chromium:chromium node:nodejs npm:npm turnserver:coturn \
  espeak-ng:espeak-ng; do
  command -v "${need%%:*}" >/dev/null 2>&1 || missing+=("${need##*:}")
done
# Debian keeps the servers of PostgreSQL out of PATH, one folder for each version.
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null 2>&1; then
  missing+=(postgresql)
fi
# Newman runs the Postman collection. It comes from the npm registry into the environment's own folder.
newman=6.2.2
newman_folder="$(dirname "${BASH_SOURCE[0]}")/../.venv/newman"
install_newman() {
  [ ! -x "$newman_folder/node_modules/.bin/newman" ] || return 0
  echo "Installing for the tests: newman $newman …"
  npm install --prefix "$newman_folder" --no-fund --no-audit --ignore-scripts --loglevel=error "newman@$newman" >/dev/null
}
if [ ${#missing[@]} -eq 0 ]; then
  install_newman
  exit 0
fi

if [ "$(id -u)" -ne 0 ] || [ ! -e /etc/debian_version ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests need what is missing here: ${missing[*]}" >&2
  echo "On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  echo "Elsewhere: the packages of these names from your system; then try again." >&2
  exit 1
fi

log=$(mktemp)
made=()
trap 'rm -f "$log" "${made[@]}"' EXIT

# A package that is installed starts its service unless a policy says no (invoke-rc.d(8): 101 is "forbidden");
# a policy that stands there already is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  made+=("$policy")
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
quiet=(-qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
echo "Installing for the tests: ${missing[*]} …"
for attempt in $(seq "$attempts"); do
  if { apt-get "${quiet[@]}" update && apt-get "${quiet[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    install_newman
    exit 0
  fi
  [ "$attempt" -eq "$attempts" ] || sleep "$pause_s"
done
tail -n 20 "$log" >&2
echo "Installing ${missing[*]} failed; the last lines of apt-get stand above." >&2
exit 1
