#!/usr/bin/env bash
# Makes .venv: Python 3.11 and exactly the packages of requirements.lock.
# uv installs them in well under a minute; where uv cannot be had, pip does the same more slowly.
# Where there is an NVIDIA GPU, or with GPU=1, also those of requirements-gpu.lock.
set -euo pipefail
cd "$(dirname "$0")/.."
# One at a time: a second `make` waits here, and finds it done.
exec 9< tools/make_environment.sh
flock 9
if [ -z "${GPU-}" ] && [ .venv/ready -nt requirements.lock ] && [ .venv/ready -nt tools/make_environment.sh ]; then
  exit 0
fi

python=${PYTHON:-python3.11}
if ! command -v "$python" >/dev/null || ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  python=python3
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  echo "ClearCast needs Python 3.11. Install it, or name it: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi

started=$SECONDS
echo "Making the environment in .venv (about 6 GB, once) …"
lists=(-r requirements.lock)
if [ -n "${GPU-}" ] || command -v nvidia-smi >/dev/null; then
  lists+=(-r requirements-gpu.lock)
fi
rm -rf .venv
"$python" -m venv .venv
# pip can be set to a mirror by its own settings; uv reads others, so pip's are passed on to it.
if .venv/bin/pip install --quiet --disable-pip-version-check "uv==$(sed -n 's/^uv==//p' requirements.lock)" 2>/dev/null; then
  index=$(.venv/bin/pip config get global.index-url 2>/dev/null || true)
  export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-${index:-}}}
  [ -n "$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps "${lists[@]}"
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
else
  .venv/bin/pip install --quiet --no-deps "${lists[@]}"
  .venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
fi
touch .venv/ready
echo "The environment is ready after $((SECONDS - started)) s."
