#!/bin/sh
# Makes a virtual environment and installs one requirements file into it, for the Makefile:
#     sh bootstrap.sh PYTHON REQUIREMENTS STAMP [VENV [OPTION OF PIP INSTALL]]
# Every failure is one sentence and status 1. An install that was cut short is begun anew.
python=$1 requirements=$2 stamp=$3 venv=${4:-.venv} option=${5:-}
log=${MORA_VAR:-var}/log/install.log
unfinished=$venv/unfinished

fail() {
    echo "$*" >&2
    exit 1
}

# The log is on the same disk, so a full one may have kept the reason out of it.
explain() {
    free=$(df -Pk . | awk 'NR == 2 {print $4}')
    if [ "${free:-50000}" -lt 50000 ] || grep -qi -e "No space left on device" -e "quota exceeded" "$log"; then
        fail "The disk is full: free some space ($venv takes several GB) and run this again."
    elif grep -q -e "NewConnectionError" -e "NameResolutionError" -e "ConnectTimeoutError" "$log"; then
        fail "pip cannot reach the package index: check the network and run this again (see $log)."
    fi
    fail "Making $venv failed: $(grep . "$log" | grep -e ERROR -e Error | tail -n 1) (see $log)."
}

wanted="Python 3.11, 3.12 or 3.13 is needed"
choose="name one with make PYTHON=/path/to/python3"
command -v "$python" >/dev/null 2>&1 || fail "$python is missing: $wanted; $choose."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    fail "$python does not run: $wanted; $choose."
case $version in
3.11 | 3.12 | 3.13) ;;
*) fail "$python is Python $version: $wanted; $choose." ;;
esac
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
    fail "$python has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)."

{ mkdir -p "$(dirname "$log")" && : >"$log"; } 2>/dev/null ||
    fail "Cannot write $log: check that the disk has space and that the folder is yours."
if [ -e "$unfinished" ] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    rm -rf "$venv"
    { mkdir "$venv" && : >"$unfinished" && "$python" -m venv "$venv"; } >>"$log" 2>&1 || explain
fi
echo "Installing $requirements into $venv: a few GB, some minutes the first time (log: $log)."
{ : >"$unfinished"; } 2>>"$log" || explain
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    $option -r "$requirements" >>"$log" 2>&1 || {
    # A pip that failed before it installed anything has left a whole environment.
    grep -q "Installing collected packages" "$log" || rm -f "$unfinished"
    explain
}
{ : >"$stamp"; } 2>>"$log" || explain
rm -f "$unfinished"
