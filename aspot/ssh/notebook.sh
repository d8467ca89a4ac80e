# A notebook server on this machine, which outlives connections. POSIX sh; replies begin after a line "@aspot".
# Words: look | install | start PORT (stdin: its token, then its command) | stop. It lies in ~/.aspot/notebook/.
set -u
umask 077
d=$HOME/.aspot/notebook
LF='
'
born() { # BORN: start time of process $1, which with its id names it
  IFS= read -r l 2>/dev/null <"/proc/$1/stat" || return 1
  set -- ${l##*) }
  case $1 in Z | X) return 1 ;; esac
  shift 19
  BORN=$1; }
alive() { read -r pid was 2>/dev/null <"$d/pid" && born "$pid" && [ "$BORN" = "$was" ]; }

look() { # "running PORT TOKEN" or "none"; then the program that would be started, or an empty line; then the log's end
  printf '@aspot\n'
  if alive; then echo "running $(cat "$d/port") $(cat "$d/token")"; else echo none; fi
  for f in "$d/venv/bin/jupyter-lab" jupyter-lab "$HOME/.local/bin/jupyter-lab" jupyter-notebook; do
    found=$(command -v "$f") && break
  done
  echo "$found"
  [ ! -f "$d/log" ] || tail -c 1500 "$d/log"; }

install() {
  printf '@aspot\n'
  mkdir -p "$d"
  python3 -m venv "$d/venv" && "$d/venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off jupyterlab; }

start() { # PORT
  mkdir -p "$d" || exit 125
  IFS= read -r token
  command=$(cat)
  echo "$1" >"$d/port" && echo "$token" >"$d/token" || exit 125
  cd || exit 121
  PORT=$1 JUPYTER_TOKEN=$token setsid "${SHELL:-/bin/sh}" -c "$command" </dev/null >"$d/log" 2>&1 &
  born $! && echo "$! $BORN" >"$d/pid"
  printf '@aspot\nstarted\n'; }

stop() { # asked first; its group goes with it
  said=none
  if alive; then
    said=stopped
    kill -TERM -"$pid" 2>/dev/null
    i=0
    while alive && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
    ! alive || kill -KILL -"$pid" 2>/dev/null
  fi
  rm -f "$d/pid" "$d/port" "$d/token"
  printf '@aspot\n%s\n' "$said"; }

"$@"
