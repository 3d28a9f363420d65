#!/usr/bin/env bash
# Every test: some at a time (WORKERS, 2), then, one after the other, those marked `alone`, which judge how soon
# something happens: one that fails is tried twice more, since a machine may have been busy with something else
# just then (a RERUN in the output says so). Arguments go to pytest.
#
# If no more than MOST_UNSTEADY of the tests that run beside each other fail, those are tried once more by
# themselves. One that passes then is unsteady, not wrong: it does not fail the run, but the last lines name it,
# and it is to be mended.
set -uo pipefail
cd "$(dirname "$0")/.."
MOST_UNSTEADY=3
status=0
unsteady=""

run() {
  .venv/bin/python -m pytest "$@"
  local code=$?
  if [ $code -eq 2 ]; then exit 2; fi  # Ctrl-C
  if [ $code -eq 5 ]; then code=0; fi  # nothing was chosen
  return $code
}

failed() {  # the names of the tests that failed last, a line each
  .venv/bin/python -c '
import json, pathlib
names = pathlib.Path(".pytest_cache/v/cache/lastfailed")
print(*(json.loads(names.read_text()) if names.exists() else {}), sep="\n")'
}

run --cache-clear -n "${WORKERS:-2}" --dist loadfile -m "not alone" "$@" || {
  status=1
  unsteady=$(failed)
  if [ -n "$unsteady" ] && [ "$(wc -l <<<"$unsteady")" -le $MOST_UNSTEADY ]; then
    echo "Tried once more, by themselves:"
    if run --last-failed -m "not alone" "$@"; then status=0; fi
  fi
}
run -m alone --reruns 2 "$@" || status=1
if [ $status -eq 0 ] && [ -n "$unsteady" ]; then
  sed "s/^/UNSTEADY, passed only by itself: /" <<<"$unsteady"
fi
exit $status
