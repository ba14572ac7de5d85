#!/usr/bin/env bash
# Does by hand, with the files of the units, what the documents ask of systemd, which does not run
# on the machine that machine.sh makes. A unit is checked before it is used, and a service runs as
# the user and with the variables that its unit names.
set -euo pipefail
units=/etc/systemd/system

# A setting of a unit, its last line joined with those that continue it.
value() { sed -n -e ':more; /\\$/ { N; s/\\\n *//; b more }' -e "s/^$2=//p" "$units/$1" | tail -n 1; }

# A setting that systemd does not know is a warning only.
check() {
  local said
  if ! said=$(systemd-analyze --man=no --recursive-errors=no verify "$@" 2>&1) || [[ -n $said ]]; then
    echo "$said"
    return 1
  fi
}

# A command of a unit, by the shell: our units use nothing that it reads otherwise.
run() {
  local user file
  user=$(value "$1" User)
  file=$(value "$1" EnvironmentFile)
  set -a
  # A dash in front: the file may be missing.
  # shellcheck source=/dev/null
  [[ -z $file || ! -e ${file#-} ]] || . "${file#-}"
  set +a
  MAINPID=$(cat "/run/$1.pid" 2> /dev/null || true) \
    exec setpriv --reuid="${user:-root}" --regid="${user:-root}" --init-groups \
    sh -c "exec $(value "$1" "$2")"
}

start() {
  check "$units/$1"
  local type log=/var/log/$1.log
  [[ $1 == *.service ]] || return 0
  type=$(value "$1" Type)
  if [[ $type == oneshot ]]; then
    (run "$1" ExecStart)
    return
  fi
  : > "$log"
  (run "$1" ExecStart) >> "$log" 2>&1 &
  echo $! > "/run/$1.pid"
  # A service of Type=notify has started when it says so; ours logs at the same time.
  if [[ $type == notify ]] && ! grep -q -m 1 listening < <(tail -n +1 -F --pid=$! "$log" 2> /dev/null); then
    cat "$log"
    return 1
  fi
}

reload() { (run "$1" ExecReload); }

unit=${*: -1}
[[ $unit == *.* ]] || unit+=.service
case $* in
  daemon-reload) check "$units"/tidings* ;;
  "enable --now ${3-}") start "$unit" ;;
  "start ${2-}") start "$unit" ;;
  "reload ${2-}" | "try-reload-or-restart ${2-}") reload "$unit" ;;
  "restart ${2-}")
    pid=$(cat "/run/$unit.pid")
    kill "$pid"
    tail --pid="$pid" -f /dev/null
    start "$unit"
    ;;
  *)
    echo "the stand-in for systemctl does not know: $*" >&2
    exit 1
    ;;
esac
