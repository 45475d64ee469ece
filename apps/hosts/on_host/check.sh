# Says what a host is, one fact a line; a program in Python says the rest where there is one.
fact() { printf 'dstack:%s %s\n' "$1" "$2"; }
fact system "$(uname -s)"
root=no
if [ "$(id -u)" = 0 ]; then
    root=yes
elif ! command -v sudo >/dev/null 2>&1; then
    root=alone
elif sudo -n true </dev/null >/dev/null 2>&1; then
    root=sudo
fi
fact root "$root"
python=
for name in /usr/bin/python3 /usr/local/bin/python3 python3 python3.14 python3.13 python3.12 \
    python3.11 python3.10 python3.9; do
    path=$(command -v "$name" 2>/dev/null) || continue
    case $path in /*) ;; *) continue ;; esac
    if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 9))' </dev/null 2>/dev/null; then
        python=$path
        break
    fi
done
fact python "$python"
fact python3 "$(python3 --version 2>&1 </dev/null)"
if [ -n "$python" ]; then
    set -- -I -c 'import base64, sys; exec(base64.b64decode(sys.argv[1]))' "$PROGRAM" "$ASKED"
    if [ "$root" = sudo ]; then
        sudo -n "$python" "$@" </dev/null
    else
        "$python" "$@" </dev/null
    fi
fi
exit 0
