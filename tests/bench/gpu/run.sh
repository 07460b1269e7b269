#!/bin/sh
# run.sh PROGRAM DEVICE ENVIRONMENT JSON [--small] [--seconds S]: `make bench-gpu`: Kiln's rows on the device, into JSON as well; then the
# same rows by torch and JAX, where the Python environment, or else the machine's Python, has them; then Kiln's last line.
set -u
here=$(dirname "$0")
program=$1 device=$2 environment=$3 json=$4
shift 4
said=$(mktemp) || exit 1
trap 'rm -f "$said"' EXIT
rm -f "$json"
"$program" "$device" --json "$json" "$@" >"$said"
status=$?
sed '$d' "$said"
case $device in gpu:*) on=cuda ;; *) on=cpu ;; esac
python=$environment/bin/python
[ -x "$python" ] || python=$(command -v python3) || python=
if [ -s "$json" ] && [ -n "$python" ]; then
    PYTHONDONTWRITEBYTECODE=1 "$python" "$here/peers.py" "$json" $on "$@"
fi
tail -n 1 "$said"
exit $status
