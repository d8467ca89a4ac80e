#!/bin/sh
# aspot's runner: owns the attempts on this machine, so that no connection does. POSIX sh (dash, bash, busybox ash).
# Layout: $HOME/.aspot/{run,events,notice,.machine/} and one folder an attempt, $HOME/.aspot/RUN/JOB/aN/
#   {work/,stdout,stderr,status,pid,lock/,ready,released,spec}. Words on the command line are safe names and numbers only;
#   everything else comes on stdin. Replies begin after a line "@aspot", so that a noisy .bashrc does no harm.
#   A first word "@EPOCH..." says which client speaks: one of a lower epoch than the machine was armed by changes nothing.
# Rules: a special builtin (":", ".") never gets a redirection that may fail, for dash would exit;
#   a group is signalled as `kill -TERM -PG`, the only form that all three shells take.
set -uf
umask 077
SH=${ASPOT_SH:-/bin/sh}
case $0 in /*) SELF=$0 ;; *) SELF=$PWD/$0 ;; esac
LF='
'
A=$HOME/.aspot
M=$A/.machine
IFS= read -r BOOT 2>/dev/null <"${ASPOT_BOOT_ID_FILE:-/proc/sys/kernel/random/boot_id}" || BOOT=none

# --- small things ---------------------------------------------------------------------------------------------------

reply() { printf '@aspot\n%s\n' "$1"; } # in one write: each is a packet, and wakes both sides
die() { printf '%s\n' "$2" >&2; exit "$1"; } # die CODE WHY

uptime_cs() { # UP: hundredths of a second since boot; no step of the wall clock can touch it
  read -r u _ </proc/uptime
  f=${u#*.}
  UP=$((${u%.*} * 100 + 1$f - 100)); }

nap() { # nap HUNDREDTHS; a TERM trap can end it, and takes the sleep along (NAP)
  [ "$1" -gt 0 ] || return 0
  sleep "$(($1 / 100)).$(($1 % 100 / 10))$(($1 % 10))" & NAP=$!
  wait "$NAP"; }

put() { # put FILE TEXT: all or nothing; what a full disk cut short never gets the name
  printf '%s\n' "$2" 2>/dev/null >"$1.$$" && IFS= read -r got <"$1.$$" && [ "$got" = "$2" ] && mv -f "$1.$$" "$1" && return 0
  rm -f "$1.$$"
  return 1; }

note() { # note FILE TEXT: as put, for what nobody reads while it is written; takes no process, where put takes one
  IFS= read -r got 2>/dev/null <"$1" && [ "$got" = "$2" ] && return 0
  printf '%s\n' "$2" 2>/dev/null >"$1" && IFS= read -r got <"$1" && [ "$got" = "$2" ] && return 0
  rm -f "$1"
  return 1; }

start_time() { # BORN: start time of process $1, which with its id and the boot names it; fails for none and zombies
  IFS= read -r l 2>/dev/null <"/proc/$1/stat" || return 1
  set -- ${l##*) }
  case $1 in Z | X) return 1 ;; esac
  shift 19
  BORN=$1; }

me() { [ -n "${ASPOT_NOTED:-}" ] || { start_time $$ && put "$1" "$$ $BORN $BOOT"; }; } # me FILE: write down who I am

alive() { # alive FILE: the process it names still runs (never signal one without this: ids are reused)
  read -r P s b 2>/dev/null <"$1" || return 1
  [ "$b" = "$BOOT" ] && start_time "$P" && [ "$BORN" = "$s" ]; }

valid() { # valid FOLDER: it has a whole status (STATUS)
  IFS= read -r STATUS 2>/dev/null <"$1/status" || return 1
  case $STATUS in 'v1 '*' ok') return 0 ;; esac
  return 1; }

heeded() { # whoever speaks still drives the run: no client of a higher epoch has armed this machine; takes no process
  set +f
  set -- "$M"/@*
  set -f
  newest=
  for c; do
    e=${c##*/@}
    [ "${e%%.*}" -le "$EPOCH" ] 2>/dev/null || [ ! -f "$c" ] || newest=${c##*/}
  done
  [ -z "$newest" ]; }

fence() { heeded || die 119 "taken over by $newest"; }

say() { printf '%s\n' "$1" 2>/dev/null >>"$A/events"; }

is_name() { case $1 in '' | .* | -* | *[!A-Za-z0-9._-]*) return 1 ;; esac; }

attempt() { # attempt RUN JOB N: D, its folder
  is_name "$1" && is_name "$2" && is_name "$3" || die 120 "bad name"
  JOB=$2 N=$3 D=$A/$1/$2/a$3
  COOKIE="ASPOT_COOKIE=$D;"; }

is_ec2() { # only DMI says so; a guest of the local cloud never is
  [ -z "${ASPOT_LOCAL_GUEST:-}" ] || return 1
  dmi=${ASPOT_DMI:-/sys/class/dmi/id}
  IFS= read -r v 2>/dev/null <"$dmi/sys_vendor" && [ "$v" = "Amazon EC2" ] && return 0
  IFS= read -r v 2>/dev/null <"$dmi/bios_version" && case $v in *amazon*) return 0 ;; esac
  return 1; }

as_root() {
  WHO=${WHO:-$(id -u)}
  if [ "$WHO" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

tool() { # tool NAME: its path (TOOL); in a guest only a shim will do, never the host's own
  TOOL=$(command -v "$1") || return 1
  [ -n "${ASPOT_LOCAL_GUEST:-}" ] || return 0
  case $TOOL in /bin/* | /sbin/* | /usr/bin/* | /usr/sbin/*) return 1 ;; esac; }

detach() { # detach NAME WORD...: run a daemon of ours outside every session; under systemd where this is EC2
  name=$1
  shift
  is_ec2 && command -v systemd-run >/dev/null && as_root systemd-run --quiet --system --unit="aspot-$name" --collect \
    -p Restart=always -p RestartSec=10 -p OOMScoreAdjust=-900 --uid="$(id -u)" --setenv=HOME="$HOME" \
    --setenv=PATH="$PATH" "$SH" "$SELF" "$@" 2>/dev/null && { nap 50; alive "$M/$name.pid" || nap 200; return 0; }
  ASPOT_NOTED=yes setsid $SH "$SELF" "$@" </dev/null >/dev/null 2>&1 &
  start_time $! && note "$M/$name.pid" "$! $BORN $BOOT"; } # the daemon need not write it down, nor race with us

# --- processes of an attempt ------------------------------------------------------------------------------------------

members() { # ids of processes that carry the attempt's cookie: those that left its group and session, too
  set +f
  set -- /proc/[0-9]*/environ
  set -f
  found=$(grep -lzF "$COOKIE" "$@" 2>/dev/null)
  MEMBERS=
  for f in $found; do f=${f#/proc/}; MEMBERS="$MEMBERS ${f%/environ}"; done
  [ -n "$MEMBERS" ]; }

leader() { # PG: the attempt's process group, while it is certain that it is still that one
  read -r PG s b 2>/dev/null <"$D/.pg" || return 1
  [ "$b" = "$BOOT" ] || return 1
  alive "$D/pid" || { start_time "$PG" && [ "$BORN" = "$s" ]; }; }

signal_all() { # signal_all SIGNAL: to the group and to whoever left it; fails if there is nobody
  any=1
  leader && kill -"$1" -"$PG" 2>/dev/null && any=0
  members && kill -"$1" $MEMBERS 2>/dev/null && any=0
  return $any; }

is_gone() { ! { leader && kill -0 -"$PG" 2>/dev/null; } && ! members; }

wait_gone() { # wait_gone HUNDREDTHS
  uptime_cs
  end=$((UP + $1)) gap=5
  until is_gone; do
    uptime_cs
    [ "$UP" -lt "$end" ] || return 1
    nap $gap
    [ $gap -ge 40 ] || gap=$((gap * 2))
  done; }

end_all() { # end_all HUNDREDTHS: TERM, grace, KILL; what is a zombie for want of a reaper does not hold us up
  signal_all TERM || return 0
  wait_gone "$1" || { signal_all KILL; wait_gone 200; }
  return 0; }

because() { ln -s "$1" "$D/.why" 2>/dev/null; } # the first reason wins; a link needs no disk block

# --- an attempt from outside: deliver, start, status, stop, release ----------------------------------------------------

copy() { cp -a --reflink=auto "$@" 2>/dev/null || cp -a "$@"; }

unpack() { # stdin -> the current folder
  if command -v tar >/dev/null; then tar -xof - 2>/dev/null; else
    python3 -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|").extractall()' 2>/dev/null
  fi; }

cmd_deliver() { # RUN JOB N SET full|known|delta BASE LENGTH
  # stdin: so many bytes of a tar of t/ (files), c/ (checkpoint), sums, gone; and then, after "ready", perhaps the order.
  # One channel thus brings the files, starts the attempt and carries its output: a channel costs more than a small job.
  attempt "$1" "$2" "$3"
  set_id=$4 how=$5 base=$6 sets=$A/$1/.sets
  is_name "$set_id" && is_name "$base" || die 120 "bad name"
  fence
  [ ! -d "$D/lock" ] || { reply started; exit 0; }
  case $how in
    known) [ -d "$sets/$set_id/t" ] || { reply need; exit 0; } ;;
    delta) [ -d "$sets/$base/t" ] || { reply need; exit 0; } ;;
  esac
  new=$sets/.new.$$
  trap 'rm -rf "$new"' EXIT
  [ ! -e "$D/work" ] || rm -rf "$D/work" "$D/ready"
  mkdir -p "$D/work/out" "$sets/$set_id" "$new/t" "$new/c" && cd "$new" || die 125 "no room"
  [ "$how" != delta ] || copy "$sets/$base/t/." t/ || die 125 "no room"
  [ "$7" = 0 ] || { receive "$7"; fence; } # it may have slept half-way, and another have started it since
  [ "$how" = known ] || keep_set
  copy "$sets/$set_id/t/." "$D/work/" || die 125 "no room"
  is_empty c || copy c/. "$D/work/" || die 125 "no room"
  note "$D/ready" "$set_id" || die 125 "no room"
  cd "$D" && rm -rf "$new"
  trap - EXIT
  reply ready
  begin && follow 0 0 started; }

receive() { # LENGTH of the stream, every file checked
  head -c "$1" | unpack || die 122 "the stream was cut short, or there is no room"
  [ ! -f gone ] || (cd t && xargs -0 rm -rf --) <gone
  [ ! -s sums ] || sha256sum -c sums >.check 2>&1 || die 122 "damaged: $(grep -v ': OK$' .check | head -n 3)"; }

is_empty() { # FOLDER
  set +f
  set -- "$1"/* "$1"/.[!.]* "$1"/..?*
  set -f
  for f; do [ ! -e "$f" ] && [ ! -L "$f" ] || return 1; done; }

keep_set() { # later attempts here need not be sent what this one was
  [ ! -e "$sets/$set_id/t" ] || rm -rf "${sets:?}/$set_id/t"
  mv t "$sets/$set_id/t" || die 125 "no room"; }

cmd_start() { # RUN JOB N; stdin: the order, which ends with a line "#whole". Only one start ever starts anything
  attempt "$1" "$2" "$3"
  fence
  begin && follow 0 0 "@aspot${LF}started"; }

begin() { # start what is ready in D; the order comes on stdin
  ! valid "$D" || return 0
  [ -f "$D/ready" ] && cd "$D" || die 122 "not delivered"
  order=.order.$$
  cat >$order && [ "$(tail -n 1 $order)" = '#whole' ] || { rm -f $order; die 122 "the order was cut short"; }
  mkdir lock 2>/dev/null || { rm -f $order; begun; return; }
  heeded || { rmdir lock; rm -f $order; fence; } # the client may have slept since it delivered
  printf '%65536s' '' 2>/dev/null >.reserve && true >>stdout && true >>stderr || { rm -f .reserve $order; rmdir lock; die 125 "no room"; }
  mv $order env
  launch
  [ -f pid ] || die 123 "the supervisor did not come up: $(head -c 300 super.err)"; }

begun() { # another start was first: all is well if that one lives or has ended in order
  i=0
  until [ -f pid ] || [ $i -ge 100 ]; do nap 5; i=$((i + 1)); done
  alive pid || valid . || die 121 "it was started here before, and is gone"; }

launch() { # the supervisor, outside this session; returns when its pid is written
  files=$(ulimit -Hn)
  [ "$files" != unlimited ] || files=infinity
  if is_ec2 && command -v systemd-run >/dev/null && as_root systemd-run --quiet --system --collect \
    --unit="aspot-$JOB-a$N" -p Type=exec -p KillMode=control-group -p OOMPolicy=continue -p TasksMax=infinity \
    -p LimitNOFILE="$files" --uid="$(id -u)" --gid="$(id -g)" --setenv=HOME="$HOME" --setenv=PATH="$PATH" \
    --setenv=USER="${USER:-}" --setenv=LOGNAME="${LOGNAME:-}" --setenv=LANG="${LANG:-C.UTF-8}" \
    --setenv=SHELL="${SHELL:-/bin/sh}" "$SH" "$SELF" _super "$D" "$COOKIE" "$JOB" "$N" 2>super.err; then
    i=0
    until [ -f pid ] || [ $i -ge 200 ]; do nap 5; i=$((i + 1)); done
  else # it holds fd 3 until its pid is written: no polling
    up=$(setsid $SH "$SELF" _super "$D" "$COOKIE" "$JOB" "$N" 3>&1 >/dev/null 2>super.err </dev/null &)
  fi; }

cmd_status() { # RUN JOB N: the status line, "running", or "gone WHY"; what lost its supervisor is ended first
  attempt "$1" "$2" "$3"
  state
  reply "$STATE"; }

state() {
  STATE=running
  if valid "$D"; then STATE=$STATUS; elif alive "$D/pid"; then return; elif [ ! -d "$D/lock" ]; then
    STATE='gone it was never started'
  elif [ -f "$D/pid" ] || [ -L "$D/.why" ] || ! is_young "$D/lock"; then
    end_all 200
    if valid "$D"; then STATE=$STATUS; else STATE="gone $(epitaph)"; fi
  fi; }

is_young() { [ -z "$(find "$1" -prune -mmin +1 2>/dev/null)" ]; } # a start may still be under way

epitaph() {
  [ ! -L "$D/.why" ] || { echo it was told to stop; return; }
  [ -f "$D/pid" ] || { echo it never came up; return; }
  read -r _ _ b <"$D/pid"
  if [ "$b" = "$BOOT" ]; then echo its supervisor was killed; else echo the machine was rebooted; fi; }

cmd_stop() { # RUN JOB N WHY GRACE: returns when nothing of it runs; a start that comes later does nothing
  attempt "$1" "$2" "$3"
  is_name "$4" || die 120 "bad name"
  fence
  valid "$D" && { reply stopped; exit 0; }
  mkdir -p "$D"
  because "$4"
  mkdir "$D/lock" 2>/dev/null && { reply stopped; exit 0; }
  i=0
  until [ -f "$D/.pg" ] || [ $i -ge 100 ]; do
    alive "$D/pid" || { [ ! -f "$D/pid" ] && is_young "$D/lock"; } || break
    nap 5
    i=$((i + 1))
  done
  end_all "$5"
  i=0
  while alive "$D/pid" && ! valid "$D" && [ $i -lt 100 ]; do nap 10; i=$((i + 1)); done
  reply stopped; }

cmd_list() { # RUN: each attempt of it that was started here, a line "JOB N SPEC"; then "end"
  is_name "$1" && cd "$A" || die 120 "bad name"
  reply listing
  folders
  for d in $FOLDERS; do
    case $d in "$1"/*) [ -d "$d/lock" ] || continue ;; *) continue ;; esac
    spec= job=${d#*/}
    IFS= read -r spec 2>/dev/null <"$d/spec"
    printf '%s %s %s\n' "${job%%/*}" "${d##*/a}" "$spec"
  done
  echo end; }

cmd_release() { # RUN JOB N: its results are home
  attempt "$1" "$2" "$3"
  fence
  [ ! -d "$D" ] || put "$D/released" yes
  reply released; }

# --- an attempt from inside: the supervisor ----------------------------------------------------------------------------

cmd__super() { # FOLDER COOKIE JOB N
  D=$1 COOKIE=$2 JOB=$3 N=$4
  cd "$D" && [ -f env ] || exit 124
  hook='' timeout=0 grace=1000 most=0 checkpoint='' spec='' whole='' TIMER='' HOOK='' HOOKED='' NAP=''
  trap : HUP
  trap 'because term; signal_all TERM' TERM
  trap on_notice USR1
  . ./env # sets what is above, job_env, and the job's words as "$@"
  rm -f env
  [ -z "$spec" ] || printf '%s\n' "$spec" 2>/dev/null >spec # what it is, for a client that has lost its journal
  [ "$most" = 0 ] || note most "$most"
  [ "$whole" = yes ] && me pid || exit 124
  [ -z "$checkpoint" ] || mkdir -p "$checkpoint"
  run_job "$@"
  [ "$timeout" = 0 ] || run_timer
  while :; do # a trap ends `wait` early
    wait "$JOBPID"
    rc=$?
    kill -0 "$JOBPID" 2>/dev/null || break
  done
  finish; }

in_work() { # WORD...: become it, in work/ and in the job's own environment, which may have any name of ours: last
  export "$COOKIE" "ASPOT_NOTICE_FILE=$A/notice" "ASPOT_SIGNAL_FILE=$D/signals"
  [ ! -f "$A/notice" ] || { IFS= read -r ASPOT_DEADLINE <"$A/notice" && export ASPOT_DEADLINE; }
  cd work || exit 126
  job_env
  exec "$@"; }

run_job() { # as the leader of a session and group of its own, with its identity in .pg before it does anything
  IFS= read -r clean 2>/dev/null <"$M/clean_env" || clean=
  (in_work setsid /bin/sh -c '
    start() { shift 19; echo "$$ $1 $boot" >../.pg; }
    boot=$1 clean=$2; shift 2
    IFS= read -r l </proc/$$/stat; start ${l##*) }
    [ ! -L ../.why ] || exit 143
    exec $clean "$@"' sh "$BOOT" "$clean" "$@" </dev/null >>stdout 2>>stderr 3>&-) &
  JOBPID=$!
  { echo up >&3; } 2>/dev/null
  exec 3>&-; }

run_timer() {
  (
    trap '[ "$!" = "$JOBPID" ] || kill -KILL "$!" 2>/dev/null; exit 0' TERM # NAP may be late, and a TERM lost before exec
    uptime_cs
    until=$((UP + timeout))
    while uptime_cs && [ "$UP" -lt $until ]; do nap $((until - UP)); done
    because timeout
    end_all "$grace"
  ) &
  TIMER=$!; }

on_notice() { # the watch saw a notice: tell who asked for it, and run the hook, once
  IFS= read -r when 2>/dev/null <"$A/notice" || return 0
  tell_job
  [ -n "$hook" ] && [ -z "$HOOKED" ] || return 0
  HOOKED=yes
  epoch "$when"
  limit=$(((EPOCH - $(date +%s)) * 4 / 5)) # the first four fifths of the time left
  [ $limit -ge 1 ] || limit=1
  (
    (in_work timeout -k 2 $limit /bin/sh -c "$hook" </dev/null >>stderr 2>&1)
    say "hook $JOB $N $?"
  ) &
  HOOK=$!; }

tell_job() { # the job wrote lines "SIGNAL PID": only what carries its cookie is signalled, for ids are reused
  [ ! -f signals ] || head -n 64 signals | while read -r signal pid _; do
    case $signal in USR1 | USR2 | HUP | INT | TERM) ;; *) continue ;; esac
    case $pid in '' | *[!0-9]*) continue ;; esac
    grep -qzF "$COOKIE" "/proc/$pid/environ" 2>/dev/null && kill -"$signal" "$pid" 2>/dev/null
  done; }

finish() { # nothing of the job may write any more; then the status
  [ -z "$TIMER" ] || kill "$TIMER" 2>/dev/null
  i=0
  while [ -n "$HOOK" ] && kill -0 "$HOOK" 2>/dev/null && [ $i -lt 20 ]; do nap 25; i=$((i + 1)); done
  end_all 500
  close_cut
  why=exit
  printf '%8192s' '' 2>/dev/null >.probe || why=disk_full
  rm -f .probe .reserve # space kept since the start, so that a full disk cannot eat the exit code
  [ ! -L .why ] || why=$(readlink .why)
  set -- $(stat -c %s stdout stderr)
  i=0
  until put status "v1 rc=$rc why=$why end=$(date +%s) boot=$BOOT out=${1:-0} err=${2:-0} ok" || [ $i -ge 60 ]; do
    nap 100
    i=$((i + 1))
  done
  sync status . 2>/dev/null || sync
  [ -z "$TIMER" ] || kill "$TIMER" 2>/dev/null # a shell that was only just forked may have lost the first
  IFS= read -r STATUS <status
  say "exited $JOB $N $STATUS"; }

# A flood of output: its beginning and its end are kept. While the job runs, the disk's blocks between them are given back
# (a hole in the file), so every offset stays what it was; where fallocate cannot do that, only once it has ended.

END=1048576 # so many bytes of the end

trim() { # FOLDER of an attempt that runs: see to its limit; BIG: it may soon be reached
  IFS= read -r most 2>/dev/null <"$1/most" || return 0
  for s in "$1/stdout" "$1/stderr"; do
    size=$(stat -c %s "$s" 2>/dev/null) || continue
    [ "$size" -le $((most / 2)) ] || BIG=yes
    [ "$size" -gt $((most + END)) ] && mkdir "$1/.cutting" 2>/dev/null || continue # else its supervisor is at it
    fallocate -p -o "$most" -l $((size - END - most)) "$s" 2>/dev/null
    rmdir "$1/.cutting"
  done; }

close_cut() { # in the folder of an attempt of which nothing writes any more: a line in place of what is left out
  IFS= read -r most 2>/dev/null <most || return 0
  set -- $(stat -c %s stdout stderr)
  [ "$1" -gt $((most + END)) ] || [ "$2" -gt $((most + END)) ] || return 0
  i=0 # for ever from here on; whoever holds it now may have been killed
  until mkdir .cutting 2>/dev/null || [ $i -ge 100 ]; do nap 5; i=$((i + 1)); done
  for s in stdout stderr; do
    size=$(stat -c %s $s)
    [ "$size" -gt $((most + END)) ] || continue
    fallocate -p -o "$most" -l $((size - END - most)) $s 2>/dev/null # the end needs room elsewhere for a moment
    tail -c $END $s 2>/dev/null >$s.end
    end=$(stat -c %s $s.end 2>/dev/null) || end=0
    dd if=/dev/null of=$s bs=1 seek="$most" count=0 2>/dev/null
    printf '\n[aspot: %s bytes of output are left out here: max_output]\n' $((size - most - end)) >>$s
    [ $end = 0 ] || cat $s.end >>$s
    rm -f $s.end
  done; }

epoch() { # EPOCH of YYYY-MM-DDThh:mm:ssZ (busybox date can't)
  y=${1%%-*} r=${1#*-}
  m=$((1${r%%-*} - 100)) r=${r#*-}
  d=$((1${r%%T*} - 100)) r=${r#*T}
  h=$((1${r%%:*} - 100)) r=${r#*:}
  i=$((1${r%%:*} - 100)) r=${r#*:}
  s=${r%%[!0-9]*}
  s=$((1$s - 100))
  if [ $m -gt 2 ]; then m=$((m - 3)); else m=$((m + 9)) y=$((y - 1)); fi
  EPOCH=$((y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + d - 719469))
  EPOCH=$((((EPOCH * 24 + h) * 60 + i) * 60 + s)); }

# --- what comes home: output, files, checkpoints -------------------------------------------------------------------------

cmd_follow() { # RUN JOB N OUT ERR: both files from these offsets on, as they grow; ends when the supervisor has
  attempt "$1" "$2" "$3"
  follow "$4" "$5" ''; }

follow() { # OUT ERR FIRST: what is said before anything else
  cd "$D" || die 121 "no such attempt"
  out=$1 err=$2 first=$3
  if [ "$out$err" != 00 ]; then
    set -- $(stat -c %s stdout stderr) 0 0
    [ "$out" -le "$1" ] || out=0 # the job truncated it
    [ "$err" -le "$2" ] || err=0
  fi
  most=0
  [ ! -f most ] || read -r most <most
  reply "$err $most" >&2
  printf '%s\n@aspot\n%s %s\n' "$first" "$out" "$most"
  stdout=stdout stderr=stderr # of one that is full, the rest comes with the result
  [ "$most" = 0 ] || [ "$out" -lt "$most" ] || stdout=/dev/null
  [ "$most" = 0 ] || [ "$err" -lt "$most" ] || stderr=/dev/null
  if ! alive pid; then
    tail -c +$((out + 1)) $stdout 2>/dev/null
    tail -c +$((err + 1)) $stderr 2>/dev/null >&2
  elif [ -f "$M/tail_pid" ]; then
    tail -c +$((err + 1)) -f --pid="$P" $stderr >&2 2>/dev/null &
    exec tail -c +$((out + 1)) -f --pid="$P" $stdout 2>/dev/null
  else
    tail -c +$((out + 1)) -f $stdout 2>/dev/null & one=$!
    tail -c +$((err + 1)) -f $stderr >&2 2>/dev/null & two=$!
    while alive pid; do nap 500; done
    nap 200
    kill $one $two
  fi; }

cmd_collect() { # RUN JOB N result|checkpoint OUT ERR; stdin: roots, one a line, an empty line; then the names chosen, by NUL
  attempt "$1" "$2" "$3"
  what=$4 out=$5 err=$6
  set --
  while IFS= read -r root && [ -n "$root" ]; do set -- "$@" "$root"; done
  cd "$D/work" || die 121 "no such attempt"
  if valid "$D"; then frozen=yes; else frozen=; fi
  [ "$what" != result ] || [ $frozen ] || die 121 "it has not ended"
  [ "$what" = result ] || [ $frozen ] || snapshot "$@" || die 126 "the checkpoint kept changing while it was copied"
  SAID=@aspot
  if [ "$what" = result ]; then
    lengths
    SAID=$SAID$LF$STATUS
    rest stdout "$out" "$OUT"
    rest stderr "$err" "$ERR"
  fi
  for root in "$@"; do
    shift
    [ ! -e "$root" ] && [ ! -L "$root" ] || set -- "$@" "$root"
  done
  list "$@"
  xargs -0 /bin/sh -c '[ $# -gt 0 ] || exit 0; echo $#; cat "$@"; sha256sum "$@"' sh
  echo end; }

cmd_evacuate() { # RUN JOB N; stdin: roots, one a line, an empty line; then lines "HASH NAME": that file, if it is another
  attempt "$1" "$2" "$3"
  set --
  while IFS= read -r root && [ -n "$root" ]; do set -- "$@" "$root"; done
  cd "$D/work" || die 121 "no such attempt"
  for root in "$@"; do
    shift
    [ ! -e "$root" ] && [ ! -L "$root" ] || set -- "$@" "$root"
  done
  SAID=@aspot
  list "$@" </dev/null
  while IFS= read -r line; do give "${line%% *}" "${line#* }" </dev/null; done; }

give() { # HASH NAME: a size, so many bytes, "HASH whole|changed"; or one word. The job may write to the file meanwhile
  [ -f "$2" ] && [ -r "$2" ] && was=$(stat -L -c '%s %y %z' "$2" 2>/dev/null) || { echo gone; return; }
  size=${was%% *}
  if [ "$1" != - ]; then
    sum=$(head -c "$size" "$2" | sha256sum)
    [ "${sum%% *}" != "$1" ] || { echo same; return; }
  fi
  echo "$size"
  { head -c "$size" "$2"; head -c "$size" /dev/zero; } 2>/dev/null | head -c "$size" || exit # never less than was said; if nobody listens any more,
  # what it took is not read again for its hash: the next file's time is short
  sum=$(head -c "$size" "$2" 2>/dev/null | sha256sum)
  now=$(stat -L -c '%s %y %z' "$2" 2>/dev/null)
  if [ "$now" = "$was" ]; then echo "${sum%% *} whole"; else echo "${sum%% *} changed"; fi; }

lengths() { # OUT and ERR, of STATUS
  OUT=${STATUS#* out=} ERR=${STATUS#* err=}
  OUT=${OUT%% *} ERR=${ERR%% *}; }

rest() { # FILE OFFSET LENGTH: "start length" and the bytes; what is short waits in SAID to be said together
  at=$2
  [ "$at" -le "$3" ] || at=0
  SAID="${SAID:+$SAID$LF}$at $(($3 - at))"
  [ "$at" != "$3" ] || return 0
  printf '%s\n' "$SAID"
  SAID=
  { tail -c +$((at + 1)) "$D/$1"; head -c $(($3 - at)) /dev/zero; } 2>/dev/null | head -c $(($3 - at)); } # never less

list() { # everything below the roots: one record each, ended by an empty one
  if [ $# = 0 ]; then
    printf '%sG\n\0\0' "${SAID:+$SAID$LF}"
  elif [ -f "$M/gnu_find" ]; then
    printf '%sG\n' "${SAID:+$SAID$LF}"
    find "$@" / \( -path / -prune -printf '\0' \) -o \( -readable -printf r -o -printf - \) -printf '%y%m %s %p\0'
  else
    printf '%sB\n' "${SAID:+$SAID$LF}"
    find "$@" -print0
    printf '\0'
    find "$@" -print0 | xargs -0 stat -c '%f %s'
    echo
  fi; }

snapshot() { # copy the roots and go there; a copy during which nothing changed is whole
  set +f
  rm -rf "$D"/.snap.*
  set -f
  snap=$D/.snap.$$
  trap 'rm -rf "$snap"' EXIT
  for try in 1 2 3 4 5; do
    before=$(look "$@")
    rm -rf "$snap"
    mkdir "$snap"
    for root in "$@"; do
      [ ! -e "$root" ] && [ ! -L "$root" ] || { mkdir -p "$snap/${root%/*}" && copy "$root" "$snap/${root%/*}/"; }
    done
    [ "$before" != "$(look "$@")" ] || { cd "$snap"; return; }
    nap $((try * 20))
  done
  return 1; }

look() { find "$@" -exec stat -c '%s %y %z %i %n' {} + 2>/dev/null | cksum; }

cmd_watch() { # what this machine says by itself, from the beginning on
  fence
  reply watching
  watch; }

watch() { # one watcher at a time: one whose connection is gone, or whose client was taken over, may not know it yet
  ! alive "$M/watcher" || kill "$P" 2>/dev/null
  me "$M/watcher"
  exec tail -n +1 -f "$A/events" 2>/dev/null; }

# --- the machine: arm, lease, set-up --------------------------------------------------------------------------------------

cmd_arm() { # TERM IDLE HOLD LIFE, in hundredths; stdin: one word, once the key is written down; goes on as `watch`
  { [ -d "$M" ] || mkdir -p "$M"; } && true >>"$A/events" || die 125 "no room"
  [ -z "$CLIENT" ] || { is_name "${CLIENT#@}" && true >"$M/$CLIENT"; } || die 125 "no room" # first: older ones end here
  heeded || { drop_fresh; fence; }
  case $0 in */.run.*) mv -f "$0" "$A/run" && SELF=$A/run || die 125 "no room" ;; esac
  [ -f "$M/known" ] || know_tools
  { [ -f "$M/born" ] && read -r _ b <"$M/born" && [ "$b" = "$BOOT" ]; } || birth
  note "$M/lease" "$1 $2 $3 $4" && cmd_lease >/dev/null || die 125 "no room"
  off=no watch=no
  if find_off; then alive "$M/lease.pid" || detach lease _lease; alive "$M/lease.pid" && off=yes; fi
  if find_metadata; then alive "$M/watch.pid" || detach watch _watch "$ENDPOINT" "$FETCH"; watch=yes; fi
  [ -f "$M/host.pub" ] || new_host_key
  IFS= read -r key 2>/dev/null <"$M/host.pub" || key=
  reply "boot=$BOOT${LF}off=$off${LF}watch=$watch${LF}key=$key${LF}end"
  IFS= read -r word || exit 0 # whoever asked is gone: what nobody has written down is not served
  fence # it may have slept
  [ "$word" != serve ] || serve_host_key
  if [ -f "$M/host.pub" ]; then echo served; else echo kept; fi
  watch; }

drop_fresh() { case $0 in */.run.*) rm -f "$0" ;; esac; } # the runner that came with the command

know_tools() { # what differs between GNU and busybox, asked once
  find / -prune -printf '' 2>/dev/null && note "$M/gnu_find" yes
  case $(tail --help 2>&1) in *--pid*) note "$M/tail_pid" yes ;; esac
  # A shell's background child ignores INT and QUIT for ever: a job shall not, where `env` can undo that.
  env --default-signal=INT,QUIT >/dev/null 2>&1 && note "$M/clean_env" 'env --default-signal=INT,QUIT'
  note "$M/known" yes; }

birth() { # when this boot began, on the clock of /proc/uptime; that of a guest of the local cloud is its host's
  UP=0
  is_ec2 || uptime_cs
  note "$M/born" "$UP $BOOT"; }

find_off() { # the command that ends this machine is there and may be used: the one place that names it
  if [ -n "${ASPOT_POWEROFF:-}" ]; then
    [ -x "$ASPOT_POWEROFF" ] && note "$M/off" "$ASPOT_POWEROFF"
  elif [ -n "${ASPOT_LOCAL_GUEST:-}" ]; then
    tool poweroff && note "$M/off" "$TOOL"
  elif is_ec2; then
    command -v systemctl >/dev/null && as_root test -x "$(command -v systemctl)" && note "$M/off" systemctl
  else
    return 1
  fi; }

power_off() {
  IFS= read -r off <"$M/off" || return
  sync
  [ "$off" = systemctl ] || { "$off"; return; }
  as_root systemctl poweroff
  nap 6000
  as_root poweroff -f
  nap 6000
  echo o | as_root tee /proc/sysrq-trigger; }

new_host_key() { # a host key that never was in user data; until it is served its private half lies beside it
  [ -z "${ASPOT_LOCAL_GUEST:-}" ] || [ -n "${ASPOT_ETC_SSH:-}" ] || return
  [ ! -e "$M/host" ] || rm -f "$M/host" # from a start that was cut off: ssh-keygen would ask
  ssh-keygen -q -t ed25519 -N '' -C aspot -f "$M/host" </dev/null >/dev/null 2>&1; }

serve_host_key() { # hand it to the server, whose clients know it by now; one that will not have it keeps its own
  [ -f "$M/host" ] || return
  IFS= read -r key <"$M/host.pub"
  as_root /bin/sh -c 'cat "$1" >"$2/ssh_host_ed25519_key" && echo "$3" >"$2/ssh_host_ed25519_key.pub"' \
    sh "$M/host" "${ASPOT_ETC_SSH:-/etc/ssh}" "$key" 2>/dev/null && reload_sshd || rm -f "$M/host.pub"
  rm -f "$M/host"; }

reload_sshd() {
  if tool systemctl; then
    for unit in sshd ssh; do as_root "$TOOL" reload $unit 2>/dev/null && return; done
  fi
  [ -z "${ASPOT_LOCAL_GUEST:-}" ] && IFS= read -r pid 2>/dev/null </run/sshd.pid && as_root kill -HUP "$pid"; }

cmd_lease() { # renew; the first time nobody reads it yet
  [ -f "$M/box" ] || fence # a box may have many users at a time
  uptime_cs
  if [ -f "$M/renewed" ]; then put "$M/renewed" "$UP $BOOT"; else note "$M/renewed" "$UP $BOOT"; fi || die 125 "no room"
  reply renewed; }

cmd_keep() { # HUNDREDTHS: the machine stays for a look and ends itself then: no lease ends it before, none is renewed
  fence
  uptime_cs
  keep="$((UP + $1)) $BOOT" gap=5
  put "$M/keep" "$keep" || die 125 "no room"
  until # a signal just before a sleep is lost, and one that is only just begun dies of it: until it says so
    alive "$M/lease.pid" || detach lease _lease
    nap $gap
    IFS= read -r got 2>/dev/null <"$M/kept" && [ "$got" = "$keep" ]
  do
    [ $gap -lt 600 ] || die 123 "nobody is there to end the machine"
    gap=$((gap * 2))
    ! alive "$M/lease.pid" || kill -USR1 "$P"
  done
  reply kept; }

cmd__lease() { # end the machine when its time is over, or when nobody cares for it any more
  trap : USR1
  cd "$A" && me "$M/lease.pid"
  BUSY=0 TICKS='' LOOKED=0
  while :; do
    uptime_cs
    now=$UP
    { read -r term idle hold life <"$M/lease" && read -r born _ <"$M/born"; } || { nap 100; continue; }
    end=$((born + life)) is_kept=no
    if read -r until b 2>/dev/null <"$M/keep" && [ "$b" = "$BOOT" ]; then
      is_kept=yes
      note "$M/kept" "$until $b"
      [ "$until" -ge $end ] || end=$until
    fi
    if [ $now -ge $end ]; then end_machine; elif [ $is_kept = no ]; then judge; fi
    BIG=no
    folders
    for d in $FOLDERS; do
      ! alive "$d/pid" || valid "$d" || trim "$d"
    done
    gap=$((term / 4)) left=$((end - now))
    [ $gap -le 3000 ] || gap=3000
    [ $BIG = no ] || [ $gap -le 100 ] || gap=100
    [ $left -ge $gap ] || gap=$left
    [ $gap -ge 20 ] || gap=20
    nap $gap
  done; }

judge() { # a running job is never ended by the lease, and results that wait are kept for `hold`
  { read -r renewed b <"$M/renewed" && [ "$b" = "$BOOT" ]; } || renewed=$born
  census
  ! in_use || RUNNING=$((RUNNING + 1))
  [ "$RUNNING" = 0 ] || BUSY=$now
  over=$((renewed + term))
  [ $now -ge $over ] && [ "$RUNNING" = 0 ] || return 0
  [ $BUSY -le $over ] || over=$BUSY
  if [ "$WAITING" = 0 ]; then over=$((over + idle)); else over=$((over + hold)); fi
  [ $now -lt $over ] || end_machine; }

folders() { set +f; set -- */*/a*; set -f; FOLDERS=$*; } # of attempts, relative to $A: names without spaces

census() { # how many attempts run here, and how many have ended whose results nobody has fetched
  RUNNING=0 WAITING=0
  folders
  for d in $FOLDERS; do
    [ -d "$d/lock" ] && [ ! -f "$d/released" ] || continue
    if valid "$d"; then WAITING=$((WAITING + 1)); elif alive "$d/pid"; then RUNNING=$((RUNNING + 1)); fi
  done; }

end_machine() {
  folders
  for d in $FOLDERS; do
    alive "$d/pid" && ! valid "$d" || continue
    D=$A/$d COOKIE="ASPOT_COOKIE=$A/$d;"
    because ttl
    end_all 1000
  done
  nap 200
  power_off; }

cmd_setup() { # DIGEST; stdin: an order. Once on this machine; returns when it has ended: its status and last output
  is_name "$1" || die 120 "bad name"
  fence
  JOB=setup N=1 D=$A/.setup/$1 COOKIE="ASPOT_COOKIE=$A/.setup/$1;"
  mkdir -p "$D/work" && put "$D/ready" yes || die 125 "no room"
  ! is_ec2 || await_boot
  (begin) || exit $?
  gap=5
  while ! valid "$D" && alive "$D/pid"; do nap $gap; [ $gap -ge 200 ] || gap=$((gap * 2)); done
  state
  reply "$STATE"
  tail -c 2000 "$D/stdout"
  tail -c 2000 "$D/stderr"; }

await_boot() { # cloud-init holds apt's lock and others until it is done; it may also never be
  i=0 run=${ASPOT_CLOUD_INIT:-/run/cloud-init} done=${ASPOT_BOOT_FINISHED:-/var/lib/cloud/instance/boot-finished}
  while [ -d "$run" ] && [ ! -e "$done" ] && [ $i -lt 120 ]; do
    nap 100
    i=$((i + 1))
  done; }

# --- prompts, commands and files of a machine that stays (a box) ----------------------------------------------------------

mark() { # ID: this process, and whatever it becomes, is use of the machine; what it starts bears the cookie
  is_name "$1" || die 120 "bad name"
  mkdir -p "$M/sessions" && start_time $$ && put "$M/sessions/$1" "$$ $BORN $BOOT" || die 125 "no room"
  export "ASPOT_COOKIE=$M/sessions/$1;"; }

cmd_session() { # WORD...: become these words, or without any the login shell; the machine is in use while that lives
  mark "p$$"
  [ $# = 0 ] || exec "$@"
  cd
  [ -n "${ASPOT_LOCAL_GUEST:-}" ] || exec "${SHELL:-/bin/sh}" -l
  exec "${SHELL:-/bin/sh}"; } # the host's profiles are no guest's

cmd_exec() { # ID; stdin: an order, which is kept nowhere but in memory: become its words, in the folder it names
  mark "$1"
  own=$M/sessions/$1.d order=$(cat)
  case $order in *"$LF#whole") ;; *) die 122 "the order was cut short" ;; esac
  eval "$order" # sets where, job_env, perhaps `prepare`, and the words as "$@"
  order=
  cd && cd "$where" 2>/dev/null || die 126 "there is no folder $where"
  printf '@aspot\n' >&2
  printf '@aspot\n'
  job_env
  exec "$@" </dev/null; }

cmd_end() { # ID keep|GRACE: forget a command; unless told to keep it, end all that it started
  is_name "$1" || die 120 "bad name"
  D=$M/sessions/$1 COOKIE="ASPOT_COOKIE=$M/sessions/$1;"
  [ "$2" = keep ] || { end_all "$2"; rm -f "$D"; }
  rm -rf "$D.d"
  reply ended; }

sessions() { # a prompt or a command lives here; marks of dead ones are removed
  set +f
  set -- "$M"/sessions/*
  set -f
  any=1
  for f; do
    case ${f##*/} in '*' | *.*) continue ;; esac
    if alive "$f"; then any=0; else rm -rf "$f" "$f.d"; fi
  done
  return $any; }

logins() { # somebody is here by plain SSH, as sshd's titles say
  set +f
  set -- /proc/[0-9]*/cmdline
  set -f
  [ -n "$(grep -ls "^sshd[a-z-]*: $(id -un)[@ ]" "$@")" ]; }

works() { # what prompts and commands left behind has computed since the last look: a fiftieth of a CPU, or more
  COOKIE="ASPOT_COOKIE=$M/sessions/"
  old=$TICKS TICKS=' ' sum=0 gap=$((now - LOOKED)) LOOKED=$now
  members || return 1
  for p in $MEMBERS; do
    IFS= read -r l 2>/dev/null <"/proc/$p/stat" || continue
    set -- ${l##*) }
    t=$((${12} + ${13})) was=0
    case $old in *" $p:"*) was=${old##*" $p:"} was=${was%% *} ;; esac
    TICKS="$TICKS$p:$t " sum=$((sum + t - was))
  done
  [ -n "$old" ] && [ $((sum * 50)) -ge "$gap" ]; } # both in hundredths of a second

in_use() { # prompts and commands; on a box, what came by plain SSH and what was left working, too
  used=1
  ! sessions || used=0
  [ -f "$M/box" ] || return $used
  ! works || used=0
  [ $used = 0 ] || ! logins || used=0
  [ $used != 0 ] || put "$M/used" "$now $BOOT"
  return $used; }

cmd_use() { # how long nobody has used this machine, and how long until it ends itself; renews nothing
  uptime_cs
  read -r term idle _ life <"$M/lease" && read -r born _ <"$M/born" && read -r last b <"$M/renewed" || die 121 "not armed"
  [ "$b" = "$BOOT" ] || last=$born
  over=$((last + term))
  used=0 b=''
  [ ! -f "$M/used" ] || read -r used b <"$M/used"
  [ "$b" = "$BOOT" ] || used=0
  ! sessions || used=$UP
  [ $used -le $last ] || last=$used
  [ $used -le $over ] || over=$used
  left=$((over + idle - UP)) most=$((born + life - UP))
  [ $left -le $most ] || left=$most
  reply "$((UP - last)) $left"; }

cmd_hello() { # look|keep|IDLE: what this machine is like; unless only looked at, it is a box, and its user is here
  case $1 in
    look) ;;
    keep) note "$M/box" yes && cmd_lease >/dev/null || die 125 "no room" ;;
    *) read -r term idle hold life <"$M/lease" && put "$M/lease" "$term $1 $hold $life" && cmd_hello keep || die 125 "no room"
       return ;;
  esac
  reply "boot=$BOOT${LF}cores=$(nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo)${LF}gpus=$(gpus)${LF}home=$HOME${LF}end"; }

gpus() { # how many; NVIDIA's, AMD's and AWS's own are PCI devices whether or not a driver is there
  is_ec2 || { if tool nvidia-smi; then "$TOOL" -L | grep -c ^GPU; else echo 0; fi; return; }
  set +f
  n=0
  for d in /sys/bus/pci/devices/*; do
    IFS= read -r class <"$d/class" && IFS= read -r vendor <"$d/vendor" || continue
    case $class:$vendor in 0x03*:0x10de | 0x03*:0x1002 | 0x12*:0x1002) n=$((n + 1)) ;; esac
  done 2>/dev/null
  echo $n; }

folder() { # PATH: go there from home
  cd || die 126 "there is no home"
  case $1 in '~' | '') ;; '~/'*) cd "${1#??}" 2>/dev/null ;; *) cd "$1" 2>/dev/null ;; esac || die 126 "there is no folder $1"; }

cmd_put() { # stdin: a folder and the length of a list of checksums, a line each; the list; then the length of a tar of t/
  # (files) and sums, and the tar. Said in between: which of the files are there already, a line each.
  IFS= read -r where && IFS= read -r length || die 122 "the order was cut short"
  case $where in '~' | '') where=$HOME ;; '~/'*) where=$HOME/${where#??} ;; /*) ;; *) where=$HOME/$where ;; esac
  new=$A/.put.$$
  trap 'rm -rf "$new"' EXIT
  mkdir -p "$where" "$new/t" 2>"$new.err" || { cat "$new.err" >&2; rm -f "$new.err"; exit 125; }
  rm -f "$new.err"
  reply there
  if [ "$length" != 0 ]; then
    head -c "$length" >"$new/have" && cd "$where" && sha256sum -c "$new/have" 2>/dev/null | sed 's/.*: //'
  fi
  echo end
  IFS= read -r length || die 122 "the order was cut short"
  cd "$new" || die 125 "no room"
  [ "$length" = 0 ] || receive "$length"
  place t "$where"
  echo placed; }

place() { # FROM TO: each file by a rename, over an older one; folders that are there stay
  set +f
  for e in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    [ -e "$e" ] || [ -L "$e" ] || continue
    n=$2/${e##*/}
    if [ -d "$e" ] && [ ! -L "$e" ] && [ -d "$n" ]; then place "$e" "$n"; else mv -f "$e" "$2/" || die 125 "it cannot be placed"; fi
  done; }

cmd_get() { # stdin: a folder, a line; then as for `collect`
  IFS= read -r where || die 122 "the order was cut short"
  folder "$where"
  set --
  while IFS= read -r root && [ -n "$root" ]; do set -- "$@" "$root"; done
  for root in "$@"; do
    shift
    [ ! -e "$root" ] && [ ! -L "$root" ] || set -- "$@" "$root"
  done
  SAID=@aspot
  list "$@"
  xargs -0 /bin/sh -c '[ $# -gt 0 ] || exit 0; echo $#; cat "$@"; sha256sum "$@"' sh
  echo end; }

# --- the watch: EC2's notice, read from the machine's own metadata --------------------------------------------------------

find_metadata() { # ENDPOINT, and by what (FETCH); EC2's own address is asked on EC2 only
  ENDPOINT=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-}
  [ -n "$ENDPOINT" ] || { is_ec2 && ENDPOINT=http://169.254.169.254; } || return 1
  ENDPOINT=${ENDPOINT%/}
  for FETCH in curl python3 wget; do command -v $FETCH >/dev/null && return; done
  return 1; }

cmd__watch() { # ENDPOINT FETCH: for ever; no error ends it
  cd "$A" && me "$M/watch.pid"
  E=$1 FETCH=$2 EVERY=${ASPOT_WATCH_EVERY:-500}
  while :; do
    TOKEN=$(token)
    ask | hear
    nap "$EVERY"
  done; }

token() {
  case $FETCH in
    curl) curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$E/latest/api/token" ;;
    wget) wget -qO- -T 2 -t 1 --method=PUT --header='X-aws-ec2-metadata-token-ttl-seconds: 21600' "$E/latest/api/token" ;;
  esac 2>/dev/null; }

ask() { # every 5 s, as AWS advises: the answer, then a line "@@ CODE URL"; ends when its reader does, or after hours
  case $FETCH in
    curl) ask_curl || ask_curl_again ;;
    python3) python3 -c "$ASK" "$E" "$EVERY" 2>/dev/null ;;
    wget) ask_wget ;;
  esac; }

AFTER='\n@@ %{http_code} %{url_effective}\n'
NAMES='{spot/instance-action,events/recommendations/rebalance}'

ask_curl() { # one process for hours: the counter that repeats the URL vanishes with its "..", which curl squashes
  curl -sN -m 2 --fail-early --rate $((12000 / EVERY))/m -H "X-aws-ec2-metadata-token: $TOKEN" -w "$AFTER" \
    "$E/[1-4320]/../latest/meta-data/$NAMES" 2>/dev/null
  [ $? != 2 ]; }

ask_curl_again() { # a curl without --rate (before 7.84)
  i=0
  while [ $i -lt 2160 ]; do
    curl -sN -m 2 -H "X-aws-ec2-metadata-token: $TOKEN" -w "$AFTER" "$E/latest/meta-data/$NAMES" 2>/dev/null
    printf '\n' || return
    nap "$EVERY"
    i=$((i + 1))
  done; }

ask_wget() { # tells no code: an answer is a 200, and a token that has run out is renewed in time
  i=0
  while [ $i -lt 720 ]; do
    for u in spot/instance-action events/recommendations/rebalance; do
      u=$E/latest/meta-data/$u
      wget -qO- -T 2 -t 1 --header="X-aws-ec2-metadata-token: $TOKEN" "$u" 2>/dev/null && printf '\n@@ 200 %s\n' "$u"
    done
    printf '\n' || return
    nap "$EVERY"
    i=$((i + 1))
  done; }

ASK='
import sys, time, urllib.error, urllib.request
base = sys.argv[1] + "/latest/"
def call(url, method="GET", **headers):
    headers = {"X-aws-ec2-metadata-" + k.replace("_", "-"): v for k, v in headers.items()}
    return urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=2).read().decode()
token = call(base + "api/token", "PUT", token_ttl_seconds="21600")
while True:
    for name in ("spot/instance-action", "events/recommendations/rebalance"):
        url, body, code = base + "meta-data/" + name, "", 0
        try:
            body, code = call(url, token=token), 200
        except urllib.error.HTTPError as error:
            code = error.code
        except OSError:
            pass
        print(body, "\n@@", code, url, flush=True)
    time.sleep(int(sys.argv[2]) / 100)
'

hear() { # act on answers; ends on one that says that the token is no longer good
  body=
  while IFS= read -r line; do
    case $line in
      '@@ '*)
        line=${line#@@ }
        case ${line%% *} in
          401 | 403) return ;;
          200) case $line in *instance-action) notice "$body" ;; *rebalance) rebalance ;; esac ;;
        esac
        body= ;;
      *) body="$body $line" ;;
    esac
  done; }

notice() { # BODY: {"action": ..., "time": ...}
  when=${1#*'"time"'}
  when=${when#*'"'}
  when=${when%%'"'*}
  case $when in [0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]*) ;; *) return ;; esac
  IFS= read -r seen 2>/dev/null <"$A/notice" && [ "$seen" = "$when" ] && return
  put "$A/notice" "$when"
  say "notice $when"
  folders
  for d in $FOLDERS; do alive "$d/pid" && ! valid "$d" && kill -USR1 "$P"; done; }

rebalance() { [ -f "$M/rebalance" ] || { put "$M/rebalance" "$BOOT"; say rebalance; }; }

CLIENT='' EPOCH=0
case $1 in @*) CLIENT=$1 EPOCH=${1#@} EPOCH=${EPOCH%%.*} && shift ;; esac
cmd=$1
shift
case $cmd in
  deliver | start | status | stop | list | release | follow | collect | evacuate | watch | arm | lease | keep | setup | \
    session | exec | end | use | hello | put | get | _super | _lease | _watch) "cmd_$cmd" "$@" ;;
  *) die 120 "no such command" ;;
esac
