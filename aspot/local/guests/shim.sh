#!/bin/sh
# Stands in for the machine's system tools; one script under many names. It tells the park through a FIFO.
name=${0##*/}
case $0 in */aspot/bin/*) base=${0%/bin/*} ;; *) base=/run/aspot ;; esac
case $name in poweroff|halt) printf 'poweroff\n' >"$base/control" ;; reboot) printf 'reboot\n' >"$base/control" ;; sudo) shift 0; [ "$1" = -n ] && shift; exec "$@" ;; esac
