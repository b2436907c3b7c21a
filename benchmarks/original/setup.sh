#!/usr/bin/env bash
# setup.sh DIR: installs MindSpore Serving 2.0.2 with MindSpore Lite for CPU into DIR, for `make bench ORIGINAL=DIR`.
# Needs gcc and a Python 3.7 (PY37=path, else python3.7 or pyenv's). May be run again.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1/lite"
dir=$(cd "$1" && pwd)
pyenv=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.7.*/bin/python 2>/dev/null | sort -V | tail -1 || true)
[ -x "$dir/venv/bin/python" ] || "${PY37:-${pyenv:-python3.7}}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check \
    mindspore-serving==2.0.2 mindspore-lite==2.0.0 mindspore==2.0.0 'numpy<1.24' protobuf==3.20.3
site=$("$dir/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
# The server opens libmindspore-lite.so, which the wheel of Lite calls otherwise: an empty library that needs that one.
echo 'int unused;' > "$dir/lite/empty.c"
gcc -shared -fPIC -o "$dir/lite/libmindspore-lite.so" "$dir/lite/empty.c" -Wl,--no-as-needed \
    -L"$site/mindspore_lite/lib" -l:libmindspore-extendrt_python.so -Wl,--allow-shlib-undefined
echo "$site/mindspore_lite/lib:$dir/lite:$site/mindspore_serving/lib" > "$dir/lite/ld_library_path"
echo "installed in $dir"
