# Copies to and from this machine, verified, whole or not at all. POSIX sh; replies begin after a line "@aspot".
# Words: put LENGTH into|as|onto DEST (says how; stdin: so many bytes of a tar of t/ and sums), or
#        take (stdin: a folder, patterns one a line, an empty line; then the names chosen, by NUL).
set -uf
LF='
'
die() { printf '%s\n' "$2" >&2; exit "$1"; }
copy() { cp -a --reflink=auto "$@" 2>/dev/null || cp -a "$@"; }

put() { # LENGTH into|as|onto DEST: as: onto it, if it is no folder there yet
  how=$2 dest=$3
  if [ "$how" != as ]; then :; elif [ -d "$dest" ]; then how=into; else how=onto; fi
  if [ $how = into ]; then folder=$dest; else
    folder=.
    case $dest in /*[!/]/*) folder=${dest%/*} ;; /*) folder=/ ;; */*) folder=${dest%/*} ;; esac
  fi
  mkdir -p -- "$folder" 2>/dev/null
  cd -- "$folder" || exit 121
  new=.aspot-cp.$$
  trap 'rm -rf "$new"' EXIT
  trap 'exit 143' HUP INT TERM
  trap '' PIPE # nobody may be there any more to hear why it failed: it is cleaned up nevertheless
  mkdir "$new" || exit 125
  printf '@aspot\n%s\n' $how
  head -c "$1" | (cd "$new" && tar -xof - 2>&1) >/dev/null || die 122 "the stream was cut short, or there is no room"
  (cd "$new" && { [ ! -s sums ] || sha256sum -c sums >check 2>&1; }) ||
    die 122 "damaged: $(grep -v ': OK$' "$new/check" | head -n 3)"
  set +f
  set -- "$new"/t/* "$new"/t/.[!.]* "$new"/t/..?*
  set -f
  for f; do
    [ -e "$f" ] || [ -L "$f" ] || continue
    if [ $how = onto ]; then place "$f" "./${dest##*/}"; else place "$f" "./${f##*/}"; fi
  done; }

place() { # FROM TO: a folder is merged into one that is there
  if [ -d "$1" ] && [ -d "$2" ]; then copy "$1/." "$2/" || exit 125; return; fi
  [ ! -d "$2" ] || die 123 "${2#./} is a folder there"
  [ ! -d "$1" ] || [ ! -e "$2" ] || die 123 "${2#./} is a file there"
  mv -f -- "$1" "$2" || exit 125; }

take() {
  IFS= read -r folder || exit 120
  cd -- "$folder" || exit 121
  set --
  while IFS= read -r pattern && [ -n "$pattern" ]; do
    before=$IFS
    IFS=
    set +f
    for f in $pattern; do [ ! -e "$f" ] && [ ! -L "$f" ] || set -- "$@" "$f"; done
    set -f
    IFS=$before
  done
  if [ $# = 0 ]; then
    printf '@aspot\nG\n\0\0'
  elif find / -prune -printf '' 2>/dev/null; then
    printf '@aspot\nG\n'
    find -H "$@" \( -readable -printf r -o -printf - \) -printf '%y%m %s %p\0'
    printf '\0'
  else
    printf '@aspot\nB\n'
    find -H "$@" -print0
    printf '\0'
    find -H "$@" -print0 | xargs -0 stat -c '%f %s'
    echo
  fi
  xargs -0 /bin/sh -c '[ $# -gt 0 ] || exit 0; echo $#; cat -- "$@"; sha256sum -- "$@"' sh
  echo end; }

cd || exit 121
"$@"
