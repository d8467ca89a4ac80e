#!/bin/sh
# Stands in for a machine's system tools: one script under many names, in POSIX sh.
# It tells the park through the FIFO "control"; the park answers on a FIFO of the asker's own.
name=${0##*/}
case $0 in */aspot/bin/*) base=${0%/bin/*} ;; *) base=/run/aspot ;; esac
units=$base/units
command -v setsid >/dev/null || setsid() { "$@"; } # macOS has none

tell() { printf '%s\n' "$1" >"$base/control"; }

# ask VERB: tell, and wait for the answer. Holding both ends of the FIFO keeps either side from waiting to open it.
ask() {
    reply=$base/reply.$$
    mkfifo -m 600 "$reply" || return 1
    exec 3<>"$reply"
    tell "$1 $reply"
    read -r answer <&3
    exec 3>&-
    rm -f "$reply"
    [ "$answer" = ok ]
}

complain() {
    printf '%s\n' "$1" >&2
    exit "${2:-1}"
}

# power VERB [options]: systemd's and sysvinit's ways to say "at once" skip the grace period.
power() {
    verb=$1
    shift
    for word; do
        case $word in -f | -ff | --force) [ "$verb" = poweroff ] && verb=poweroff-now ;; esac
    done
    tell "$verb"
}

shut_down() {
    verb=poweroff when=+1
    for word; do
        case $word in
        -c) cancel_shutdown ;;
        -r | --reboot) verb=reboot ;;
        -*) ;;
        now) when=+0 && break ;;
        *) when=$word && break ;;
        esac
    done
    minutes=${when#+}
    case $minutes in '' | *[!0-9]*) complain "Failed to parse time specification: $when" ;; esac
    [ "$minutes" -eq 0 ] && tell "$verb" && exit 0
    setsid sh -c 'sleep "$1"; printf "%s\n" "$2" >"$3"' shutdown "$((minutes * 60))" "$verb" "$base/control" \
        </dev/null >/dev/null 2>&1 &
    printf '%s\n' "$!" >"$base/shutdown.pid"
    printf 'Shutdown scheduled, use "shutdown -c" to cancel.\n' >&2
}

cancel_shutdown() {
    [ -s "$base/shutdown.pid" ] && kill -TERM "-$(cat "$base/shutdown.pid")" 2>/dev/null
    rm -f "$base/shutdown.pid"
    exit 0
}

# The machine's only user is root here, as far as anyone is.
run_as_root() {
    through_shell=
    while [ $# -gt 0 ]; do
        case $1 in
        --) shift && break ;;
        -[ugpCUTRDh] | --user | --group | --prompt | --chdir) shift && shift ;;
        -[vkK] | --validate | --reset-timestamp | --remove-timestamp) exit 0 ;;
        -[is] | --login | --shell) through_shell=1 && shift ;;
        -*) shift ;;
        [A-Za-z_]*=*) export "$1" && shift ;;
        *) break ;;
        esac
    done
    [ $# -eq 0 ] && [ -n "$through_shell" ] && exec "${SHELL:-/bin/sh}"
    [ $# -eq 0 ] && complain "usage: sudo [-n] [-u user] command"
    [ -n "$through_shell" ] && exec "${SHELL:-/bin/sh}" -c '"$@"' sudo "$@"
    command -v "$1" >/dev/null || complain "sudo: $1: command not found"
    exec "$@"
}

is_ssh() { case ${1%.service} in ssh | sshd) return 0 ;; *) return 1 ;; esac; }

unit_name() {
    unit=${1%.service}
    case $unit in '' | */* | .*) complain "Invalid unit name: $1" ;; esac
}

# recall UNIT NAME: what is noted of a unit, in $noted. No child process: machines start hundreds of units at once.
recall() {
    noted=
    { IFS= read -r noted <"$units/$1/$2"; } 2>/dev/null
    [ -n "$noted" ]
}

unit_is_active() {
    is_ssh "$1" || { recall "$1" pid && kill -0 "$noted" 2>/dev/null; }
}

# Every process of a unit carries its name in its environment: there are no control groups here.
signal_unit() {
    for entry in $(grep -lzx "ASPOT_UNIT=$1" /proc/[0-9]*/environ 2>/dev/null); do
        pid=${entry#/proc/}
        kill "-$2" "${pid%/environ}" 2>/dev/null
    done
}

stop_unit() {
    unit_is_active "$1" || return 0
    signal_unit "$1" TERM
    tries=0
    while unit_is_active "$1" && [ $tries -lt 200 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    signal_unit "$1" KILL
}

show_unit() {
    active=inactive sub=dead pid=0 loaded=not-found
    unit_is_active "$1" && active=active sub=running pid=${noted:-0}
    [ -d "$units/$1" ] && loaded=loaded
    recall "$1" status
    printf 'Id=%s.service\nActiveState=%s\nSubState=%s\nMainPID=%s\n' "$1" "$active" "$sub" "$pid"
    printf 'LoadState=%s\nExecMainStatus=%s\n' "$loaded" "${noted:-0}"
}

# show UNIT [properties]: all that is known, or the named ones; with values only if asked.
show_properties() {
    show_unit "$1" | while IFS= read -r line; do
        case ",$properties," in
        ,, | *",${line%%=*},"*) if [ -n "$values" ]; then printf '%s\n' "${line#*=}"; else printf '%s\n' "$line"; fi ;;
        esac
    done
}

system_state() {
    [ -n "$waiting" ] && until [ -e "$base/boot-finished" ]; do sleep 0.1; done
    [ -e "$base/boot-finished" ] && echo running && exit 0
    echo starting
    exit 1
}

reload_unit() {
    is_ssh "$1" && { ask reload-ssh || complain "Job for $1 failed."; } && return
    unit_is_active "$1" || complain "Unit $1.service not found." 5
}

control_system() {
    verb='' unit='' properties='' values='' waiting='' force='' signal=TERM
    while [ $# -gt 0 ]; do
        case $1 in
        -p | --property) properties=$properties,$2 && shift ;;
        --property=*) properties=$properties,${1#*=} ;;
        -p*) properties=$properties,${1#-p} ;;
        --value) values=1 ;;
        --wait) waiting=1 ;;
        -s | --signal) signal=$2 && shift ;;
        --signal=*) signal=${1#*=} ;;
        -f | -ff | --force) force=--force ;;
        -[tnoHM]) shift ;;
        -*) ;;
        *) if [ -z "$verb" ]; then verb=$1; elif [ -z "$unit" ]; then unit_name "$1"; fi ;;
        esac
        shift
    done
    properties=${properties#,}
    case $verb in
    poweroff | halt) power poweroff $force ;;
    reboot | kexec | soft-reboot) power reboot ;;
    is-system-running) system_state ;;
    reload | restart | reload-or-restart | try-restart | try-reload-or-restart | force-reload) reload_unit "$unit" ;;
    is-active) if unit_is_active "$unit"; then echo active; else echo inactive && exit 3; fi ;;
    is-failed) recall "$unit" status && [ "$noted" != 0 ] || exit 1 ;;
    status) show_unit "$unit" && { unit_is_active "$unit" || exit 3; } ;;
    show) show_properties "$unit" ;;
    stop) is_ssh "$unit" || stop_unit "$unit" ;;
    kill) signal_unit "$unit" "${signal#SIG}" ;;
    start | enable) is_ssh "$unit" || [ -d "$units/$unit" ] || complain "Unit $unit.service not found." 5 ;;
    reset-failed) rm -f "$units/${unit:-none}/status" ;;
    daemon-reload | daemon-reexec | disable | mask | unmask | list-* | '') ;;
    *) complain "Unknown command verb '$verb'." ;;
    esac
}

# seconds SPEC: systemd's time spans, as in "90", "2min", "1h 30min"; the result is in $total.
seconds() {
    total=$1
    case $1 in *[!0-9]*) total=0 ;; *) return ;; esac
    for word in $(printf '%s' "$1" | sed 's/\([a-z]\) *\([0-9]\)/\1 \2/g; s/\([0-9]\) *\([a-z]\)/\1\2/g'); do
        number=${word%%[!0-9]*}
        case ${word#"$number"} in
        '' | s | sec | second | seconds) factor=1 ;;
        m | min | minute | minutes) factor=60 ;;
        h | hr | hour | hours) factor=3600 ;;
        d | day | days) factor=86400 ;;
        ms | msec) factor=0 ;;
        *) complain "Failed to parse time span: $1" ;;
        esac
        total=$((total + ${number:-0} * factor))
    done
}

# A variable of systemd-run's "--setenv": NAME=VALUE, or NAME alone for the caller's value.
keep_variable() {
    case $1 in
    *=*) variables="$variables$1
" ;;
    *) variables="$variables$1=$(printenv "$1")
" ;;
    esac
}

take_property() {
    case $1 in
    Environment=*) keep_variable "${1#*=}" ;;
    WorkingDirectory=*) folder=${1#*=} ;;
    KillMode=process | KillMode=none) keep_others=1 ;;
    esac
}

run_unit() {
    unit=run-r$$ delay=0 folder='' variables='' keep_others='' waiting='' piped='' quiet='' collect='' scope=''
    while [ $# -gt 0 ]; do
        case $1 in
        --) shift && break ;;
        -p | --property) take_property "$2" && shift ;;
        --property=*) take_property "${1#*=}" ;;
        -u | --unit) unit_name "$2" && shift ;;
        --unit=*) unit_name "${1#*=}" ;;
        -E | --setenv) keep_variable "$2" && shift ;;
        --setenv=*) keep_variable "${1#*=}" ;;
        --working-directory=*) folder=${1#*=} ;;
        -d | --same-dir) folder=$PWD ;;
        --on-active=* | --on-startup=*) seconds "${1#*=}" && delay=$total ;;
        --on-boot=*) seconds "${1#*=}" && delay=$((total - ($(date +%s) - ASPOT_BOOTED))) ;;
        --wait) waiting=1 ;;
        -P | --pipe | -t | --pty) piped=1 ;;
        -q | --quiet) quiet=1 ;;
        -G | --collect) collect=1 ;;
        --scope) scope=1 ;;
        --uid | --gid | --slice | --description | --nice | --service-type | --timer-property | -H | -M) shift ;;
        -*) ;;
        *) break ;;
        esac
        shift
    done
    [ $# -eq 0 ] && complain "Command line to execute required."
    command -v "$1" >/dev/null || complain "Failed to find executable $1: No such file or directory"
    [ -n "$scope" ] && exec "$@"
    unit_is_active "$unit" && complain "Failed to start transient service unit: Unit $unit.service was already loaded."
    start_unit "$@"
}

start_unit() {
    [ ! -d "$units/$unit" ] || rm -rf "${units:?}/$unit"
    mkdir -p "$units/$unit"
    set -- "ASPOT_UNIT=$unit" "$@"
    while IFS= read -r line; do
        [ -n "$line" ] && set -- "$line" "$@"
    done <<VARIABLES
$variables
VARIABLES
    while IFS= read -r line; do
        set -- "$line" "$@"
    done <"$base/env"
    set -- "$base/bin/shim" unit "$unit" "$delay" "${folder:-/}" "$keep_others" "$collect" "$@"
    [ -n "$quiet" ] || printf 'Running as unit: %s.service\n' "$unit" >&2
    if [ -n "$piped" ]; then
        exec "$@"
    elif [ -n "$waiting" ]; then
        exec "$@" </dev/null >>"$units/$unit/log" 2>&1
    fi
    setsid "$@" </dev/null >>"$units/$unit/log" 2>&1 &
    [ "$delay" -gt 0 ] && exit 0
    until [ -s "$units/$unit/pid" ] || [ ! -d "$units/$unit" ]; do sleep 0.01; done
}

# unit NAME DELAY FOLDER KEEP-OTHERS COLLECT NAME=VALUE... COMMAND...: what stands behind a unit while it runs.
supervise_unit() {
    unit=$1 delay=$2 folder=$3 keep_others=$4 collect=$5
    shift 5
    [ "$delay" -gt 0 ] && sleep "$delay"
    cd "$folder" || exit 200
    exec 4<&0 # what runs in the background would get no input
    setsid env -i "$@" <&4 4<&- &
    printf '%s\n' "$!" >"$units/$unit/pid"
    wait "$!"
    status=$?
    [ -n "$keep_others" ] || signal_unit "$unit" KILL
    printf '%s\n' "$status" >"$units/$unit/status"
    [ -n "$collect" ] && rm -rf "${units:?}/$unit"
    exit "$status"
}

boot_status() {
    [ "$1" = status ] || complain "cloud-init $1: not in the local cloud"
    for word; do
        [ "$word" != --wait ] || until [ -e "$base/boot-finished" ]; do sleep 0.1; done
    done
    if [ -e "$base/boot-finished" ]; then echo "status: done"; else echo "status: running"; fi
}

mounts=${ASPOT_MOUNTS:-$base/mounts} # a line for each: source, target and kind, after tabs
fstab=${ASPOT_FSTAB:-/etc/fstab}     # what is mounted at every boot, as everywhere
tab=$(printf '\t')

# absolute PATH: the same in $path, without a slash at its end.
absolute() {
    case $1 in /*) path=$1 ;; *) path=$PWD/$1 ;; esac
    while [ "$path" != / ] && [ "${path%/}" != "$path" ]; do path=${path%/}; done
}

# find_mount PATH: whether something is mounted there, and what, in $mounted.
find_mount() {
    mounted=
    [ -f "$mounts" ] || return 1
    while IFS=$tab read -r from to _; do [ "$to" = "$1" ] && mounted=$from; done <"$mounts"
    [ -n "$mounted" ]
}

# Mounting takes privileges that nobody has here: a link to what is mounted stands in the place of the empty folder.
mount_it() {
    kind='' source='' target=''
    while [ $# -gt 0 ]; do
        case $1 in
        -t | --types) kind=$2 && shift ;;
        -o | --options) shift ;;
        -a | --all) mount_all ;;
        -*) ;;
        *) if [ -z "$source" ]; then source=$1; else target=$1; fi ;;
        esac
        shift
    done
    [ -n "$source" ] || list_mounts
    [ -n "$target" ] || complain "mount: $source: can't find in /etc/fstab."
    absolute "$target"
    target=$path
    [ -d "$target" ] || complain "mount: $target: mount point does not exist." 32
    ! find_mount "$target" || complain "mount: $target: $mounted already mounted here." 32
    case $source in
    *:/) find_nfs "${source%:/}" ;;
    UUID=*) find_by_uuid "${source#UUID=}" && find_file_system ;;
    /dev/*) find_file_system ;;
    *) complain "mount: $target: special device $source does not exist." 32 ;;
    esac
    rmdir "$target" 2>/dev/null || complain "mount: $target: the local cloud mounts in empty folders only." 32
    ln -s "$base/disks/$disk" "$target" || complain "mount: $target: cannot be mounted on." 32
    printf '%s\t%s\t%s\n' "$source" "$target" "$kind" >>"$mounts"
}

# Everything in fstab that is not mounted; what fails is said, and the others are mounted all the same.
mount_all() {
    failed=0
    [ -f "$fstab" ] || exit 0
    while read -r device point type _; do
        case $device in '' | '#'*) continue ;; esac
        point=$(printf '%b' "$point") # a blank is written as \040
        find_mount "$point" || (mount_it -t "$type" "$device" "$point") </dev/null || failed=32
    done <"$fstab"
    exit "$failed"
}

list_mounts() {
    [ ! -f "$mounts" ] || while IFS=$tab read -r from to type; do echo "$from on $to type $type (rw)"; done <"$mounts"
    exec cat /proc/mounts
}

# find_nfs ADDRESS: which file system is mounted from there, in $disk.
find_nfs() {
    case $1 in *[!A-Za-z0-9.-]* | '') complain "mount.nfs4: Failed to resolve server $1" 32 ;; esac
    ask "storage nfs $1"
    case $answer in
    "ok "*) disk=${answer#ok } ;;
    *) complain "mount.nfs4: Connection timed out for $1:/ on $target" 32 ;;
    esac
}

# find_volume DEVICE: which volume it is, in $volume. Volumes are numbered by their device names, as /dev/nvme1n1...
find_volume() {
    ask "storage volumes"
    number=0
    for volume in ${answer#ok}; do
        number=$((number + 1))
        [ "$1" != "/dev/nvme${number}n1" ] || return 0
    done
    return 1
}

# find_by_uuid UUID: the device whose volume was formatted so, in $source.
find_by_uuid() {
    ask "storage volumes"
    number=0
    for volume in ${answer#ok}; do
        number=$((number + 1))
        [ "$(cat "$base/disks/$volume/uuid" 2>/dev/null)" != "$1" ] || { source=/dev/nvme${number}n1 && return; }
    done
    complain "mount: $target: can't find UUID=$1." 32
}

# A volume is a folder: what it is formatted with stands in "type" and "uuid", its files are in "data".
find_file_system() {
    find_volume "$source" || complain "mount: $target: special device $source does not exist." 32
    [ -s "$base/disks/$volume/type" ] ||
        complain "mount: $target: wrong fs type, bad option, bad superblock on $source." 32
    ! grep -q "^$source$tab" "$mounts" 2>/dev/null || complain "mount: $source is already mounted." 32
    disk=$volume/data kind=${kind:-ext4}
}

list_devices() {
    prefix=''
    for word; do
        case $word in --*) ;; -*p*) prefix=/dev/ ;; esac
    done
    ask "storage volumes"
    number=0
    for volume in ${answer#ok}; do
        number=$((number + 1))
        printf '%snvme%sn1 vol%s\n' "$prefix" "$number" "${volume#vol-}"
    done
}

last_word() { for word; do :; done && printf '%s' "$word"; }

tell_type() {
    device=$(last_word "$@")
    find_volume "$device" || complain "blkid: error: $device: No such file or directory" 2
    [ -s "$base/disks/$volume/type" ] || exit 2
    case " $* " in
    *" -s UUID -o value "*) cat "$base/disks/$volume/uuid" ;;
    *) printf '%s: TYPE="%s"\n' "$device" "$(cat "$base/disks/$volume/type")" ;;
    esac
}

format() {
    device=$(last_word "$@")
    find_volume "$device" || complain "mkfs.ext4: $device: No such file or directory"
    ! grep -q "^$device$tab" "$mounts" 2>/dev/null || complain "$device is mounted; will not make a filesystem here!"
    rm -rf "$base/disks/$volume/data"
    cat /proc/sys/kernel/random/uuid >"$base/disks/$volume/uuid"
    mkdir "$base/disks/$volume/data" && echo ext4 >"$base/disks/$volume/type"
}

unmount() {
    all='' wanted=''
    for word; do
        case $word in -a | --all) all=1 ;; -*) ;; *) wanted=$word ;; esac
    done
    [ -n "$all$wanted" ] || complain "umount: bad usage"
    absolute "$wanted"
    [ -n "$all" ] || find_mount "$path" || complain "umount: $wanted: not mounted." 32
    [ -f "$mounts" ] || exit 0
    while IFS=$tab read -r from to type; do
        if [ -n "$all" ] || [ "$to" = "$path" ] || [ "$from" = "$wanted" ]; then
            [ ! -L "$to" ] || { rm -f "$to" && mkdir "$to"; }
        else
            printf '%s\t%s\t%s\n' "$from" "$to" "$type"
        fi
    done <"$mounts" >"$mounts.new"
    mv "$mounts.new" "$mounts"
}

tell_mountpoint() {
    quiet='' wanted=''
    for word; do
        case $word in -q | --quiet) quiet=1 ;; -*) ;; *) wanted=$word ;; esac
    done
    [ -d "$wanted" ] || complain "mountpoint: $wanted: No such file or directory"
    absolute "$wanted"
    if find_mount "$path" || [ "$(stat -c %d "$wanted" 2>/dev/null)" != "$(stat -c %d "$wanted/.." 2>/dev/null)" ]; then
        [ -n "$quiet" ] || echo "$wanted is a mountpoint"
        exit 0
    fi
    [ -n "$quiet" ] || echo "$wanted is not a mountpoint"
    exit 32
}

case $name in
poweroff | halt) power poweroff "$@" ;;
reboot) power reboot "$@" ;;
shutdown) shut_down "$@" ;;
sudo) run_as_root "$@" ;;
systemctl) control_system "$@" ;;
service) control_system "$2" "$1" ;;
systemd-run) run_unit "$@" ;;
loginctl) exit 0 ;;
cloud-init) boot_status "$@" ;;
mount) mount_it "$@" ;;
mount.nfs4) mount_it -t nfs4 "$@" ;;
umount) unmount "$@" ;;
mountpoint) tell_mountpoint "$@" ;;
lsblk) list_devices "$@" ;;
blkid) tell_type "$@" ;;
mkfs.ext4) format "$@" ;;
shim) shift && supervise_unit "$@" ;;
*) complain "$name: not in the local cloud" ;;
esac
