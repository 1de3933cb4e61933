# Beside the other container of this Pod, whose processes it sees:
#   serve   sends them the signal whose name is on each line of the input, or tries a connection for
#           REACH HOST PORT; one line of answer for each
#   leave   waits until they are gone, and ends then, so that the Pod ends with them
#   stay    waits to be told to end
# Whatever is started with the word ttg-hand is not theirs.
#
# Both containers see each other's processes. The first process of a container has no parent here, and
# process 1 belongs to the Pod itself.

# Sets: state, parent of the process in $1. False where it is gone.
look() {
  read -r stat <"/proc/$1/stat" 2>/dev/null || return 1
  # The name is in brackets, and may hold anything.
  set -- ${stat##*) }
  state=$1 parent=$2
}

# Sets: first, the first process of the other container, and all, all that are its own.
find_them() {
  first='' all=' ' rest=''
  for directory in /proc/[0-9]*; do
    pid=${directory#/proc/}
    look "$pid" || continue
    case $state in Z | X) continue ;; esac
    if [ "$parent" != 0 ]; then
      rest="$rest $pid:$parent"
    elif [ "$pid" != 1 ] && ! tr '\0' ' ' <"$directory/cmdline" | grep -q ttg-hand; then
      # Probes of the kubelet have no parent either, and came later.
      if [ -z "$first" ] || [ "$pid" -lt "$first" ]; then first=$pid; fi
      all="$all$pid "
    fi
  done 2>/dev/null
  # Children come after their parents, but for ids that were used before: twice is enough.
  for pair in $rest $rest; do
    pid=${pair%:*}
    case $all in *" ${pair#*:} "*) case $all in *" $pid "*) ;; *) all="$all$pid " ;; esac ;; esac
  done
}

# A signal is heard in the middle of it.
nap() {
  sleep 1 &
  wait $!
}

# Whether a connection to port $2 of host $1 can be had, by whatever this image has for it.
reach() {
  if command -v nc; then
    nc -z -w 1 "$1" "$2"
  elif command -v bash; then
    timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2"
  else
    redis-cli -h "$1" -p "$2" -t 1 ping
  fi
} >/dev/null 2>&1

serve() {
  while read -r signal host port; do
    if [ "$signal" = REACH ]; then
      if reach "$host" "$port"; then echo reached; else echo cut; fi
      continue
    fi
    find_them
    if [ -z "$first" ]; then
      echo gone
      continue
    fi
    # One of them may have ended meanwhile: whether it took, the state of the first one says.
    kill -s "$signal" $all 2>/dev/null
    tries=0
    while look "$first" && [ $tries -lt 2000 ]; do
      case $signal:$state in STOP:T | CONT:[!T] | TERM:* | KILL:[ZX]) break ;; esac
      tries=$((tries + 1))
    done
    echo "$signal $first $state"
  done
}

trap 'exit 0' TERM
case $1 in
serve) serve ;;
leave)
  find_them
  naps=0
  # Those that are not seen within a minute have come and gone.
  until [ -n "$first" ] || [ $naps -ge 60 ]; do nap; naps=$((naps + 1)); find_them; done
  while [ -n "$first" ]; do nap; find_them; done
  ;;
*) while :; do nap; done ;;
esac
