#!/usr/bin/env bash
# Every test: some at a time (WORKERS, 2), then, one after the other, those marked `alone`, which judge how soon
# something happens: one that fails is tried twice more, since a machine may have been busy with something else
# just then (a RERUN in the output says so). Arguments go to pytest.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0
run() {
  .venv/bin/python -m pytest "$@"
  local code=$?
  # 5: nothing was chosen
  if [ $code -ne 0 ] && [ $code -ne 5 ]; then status=$code; fi
  if [ $code -eq 2 ]; then exit 2; fi  # Ctrl-C
}
run -n "${WORKERS:-2}" --dist loadfile -m "not alone" "$@"
run -m alone --reruns 2 "$@"
exit $status
