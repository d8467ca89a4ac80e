# A login shell that outlives its connection: in a tmux server of aspot's own, which shows nothing of itself.
# Words: NAME new|again NOTE. POSIX sh. The shell's exit code comes back through a file, since tmux keeps it to itself.
name=$1 how=$2 note=$3
umask 077
d=$HOME/.aspot/shells
mkdir -p "$d"
t() { tmux -u -L aspot -f "$d/tmux.conf" "$@"; }
known() { infocmp "$1" >/dev/null 2>&1; }
! command -v infocmp >/dev/null || known "$TERM" || TERM=xterm-256color
inner=screen-256color
! known tmux-256color || inner=tmux-256color
export TERM
[ -n "${SHELL:-}" ] || SHELL=/bin/sh
export SHELL

# No status line, no key of tmux's own, the screen's history stays with the terminal at home.
cat >"$d/tmux.conf" <<EOF
set -g status off
set -g prefix None
unbind-key -a
unbind-key -a -T root
set -s escape-time 0
set -g default-terminal "$inner"
set -g terminal-overrides "linux*:AX@,*:Tc:smcup@:rmcup@"
set -g set-titles on
set -g set-titles-string "#T"
set -g mouse off
set -g history-limit 2000
set -g visual-bell off
set -g display-time 4000
set -g window-size latest
EOF

t source-file "$d/tmux.conf" 2>/dev/null # a server that an earlier aspot started
code=$d/$name.exit
case $how in
  new)
    rm -f "$code"
    t new-session -s "$name" /bin/sh -c 'env -u TMUX -u TMUX_PANE "$SHELL" -l; echo $? >"$0"' "$code" ;;
  again) t attach-session -d -t "=$name" \; display-message "$note" ;; # over the last line, for a while
esac
was=$?
if [ -f "$code" ] && read -r was <"$code"; then rm -f "$code"; exit "$was"; fi
if t has-session -t "=$name" 2>/dev/null; then
  printf 'aspot: this shell goes on there: another connection took it over\r\n'
  exit 0
fi
exit "$was"
