#!/usr/bin/env bash
# Copies a data folder while the service runs: back_up.sh DATA_FOLDER NEW_FOLDER
# Databases in SQLite are copied by its backup API, which sees one moment even while others write; then all
# other files. In this order every file that the copied records name is there, unless it was just deleted.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: back_up.sh DATA_FOLDER NEW_FOLDER" >&2; exit 2; }
data=$1 target=$2
[ -d "$data" ] || { echo "There is no folder $data." >&2; exit 1; }
[ ! -e "$target" ] || { echo "$target is there already; name a new folder." >&2; exit 1; }

umask 077  # what people said, and the server's secret
partial=$target.partial
rm -rf "$partial"
mkdir -p "$partial"
for database in "$data"/*.sqlite; do
  [ -e "$database" ] || continue
  python3 - "$database" "$partial/$(basename "$database")" <<'PY'
import contextlib, sqlite3, sys
with contextlib.closing(sqlite3.connect(sys.argv[1])) as source:
    with contextlib.closing(sqlite3.connect(sys.argv[2])) as copy:
        source.backup(copy)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the copy is damaged"
PY
done
# `work` holds the requests of this moment; nothing in it outlives them.
tar -C "$data" --exclude='./*.sqlite*' --exclude=./work -cf - . | tar -C "$partial" -xpf -
sync -f "$partial"
mv "$partial" "$target"
