#!/bin/sh
# run.sh ENVIRONMENT [OPTIONS OF run.py]: `make bench-peers` with a virtual environment, or what to do where there is none.
set -u
here=$(dirname "$0")
environment=$1
shift
python=$environment/bin/python
peers='numpy jax tensorflow-cpu torch onnx onnxruntime'
"$python" -c 'import numpy' 2>/dev/null || {
    echo "bench-peers: no Python with numpy in $environment. Make one, with those peers that you want:" >&2
    echo "    python3 -m venv $environment && $environment/bin/pip install $peers" >&2
    echo "or name another: make bench-peers PEERS=FOLDER" >&2
    exit 1
}
export PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/run.py" "${BUILD:-build}/bench/serve" --json "${BUILD:-build}/bench-peers.json" "$@"
