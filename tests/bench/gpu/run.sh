#!/bin/sh
# run.sh PROGRAM DEVICE ENVIRONMENT JSON [--small] [--seconds S]: `make bench-gpu`: Kiln's rows on the device, into JSON as well; then the
# same rows by torch and JAX, where the Python environment, or else the machine's Python, has them; then Kiln's last line.
set -u
here=$(dirname "$0")
program=$1 device=$2 environment=$3 json=$4
shift 4
said=$(mktemp) || exit 1
trap 'rm -f "$said" "$said.status"' EXIT
rm -f "$json"
# Its last line waits for what the others say; all else is told at once, since whoever runs this may stop it.
{ "$program" "$device" --json "$json" "$@"; echo "$?" >"$said.status"; } | while IFS= read -r line; do
    case $line in *' passed, '*' failed, '*' skipped') printf '%s\n' "$line" >"$said" ;; *) printf '%s\n' "$line" ;; esac
done
status=$(cat "$said.status")
case $device in gpu:*) on=cuda ;; *) on=cpu ;; esac
python=$environment/bin/python
[ -x "$python" ] || python=$(command -v python3) || python=
if [ -s "$json" ] && [ -n "$python" ]; then
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 "$python" "$here/peers.py" "$json" $on "$@"
fi
cat "$said"
exit "$status"
