# Beside the other container of this Pod, whose processes it sees:
#   serve   sends them the signal whose name is on each line of the input, tries a connection for
#           REACH ADDRESS PORT, or says what is open to a port for OPEN PORT; one line of answer for each
#   leave   waits until they are gone, and ends then, so that the Pod ends with them
#   stay    waits to be told to end, and until they are gone
# It outlives them in both: `serve` ends with the container that it is in, and the kubelet tells all
# containers of a Pod to end at once.
# Whatever is started with the word ttg-hand is not theirs.
#
# Both containers see each other's processes. The first process of a container has no parent here, and
# process 1 belongs to the Pod itself.

# Sets: state, parent of the process in $1. False where it is gone.
look() {
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
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

# Whether a connection to port $2 of address $1 can be had, by whatever this image has for it. No name:
# whoever is cut off has nobody to ask for it, and waits for that alone.
reach() {
  command -v timeout || return 2
  if command -v bash; then
    timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2"
  elif command -v nc; then
    # Not every one has -z; a broker ends what says nothing more.
    timeout 1 nc -z -w 1 "$1" "$2" || timeout 1 nc -w 1 "$1" "$2" </dev/null
  elif command -v redis-cli; then
    timeout 1 redis-cli -h "$1" -p "$2" ping
  else
    return 2
  fi && return 0
  return 1
} >/dev/null 2>&1

# The connections of this Pod that are open to port $1: for each, the bytes that nobody has confirmed,
# and how often they were sent again, in hexadecimal digits.
connections() {
  port=$(printf ':%04X/01' "$1") open=open
  for table in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$table" ] || continue
    while read -r _ _ to state queues _ again _; do
      case $to/$state in *"$port") open="$open ${queues%:*}/$again" ;; esac
    done <"$table"
  done
  echo "$open"
}

# Sends signal $1, and waits until it shows. A process whose share of a CPU is used up takes a while to
# stop.
signal() {
  find_them
  if [ -z "$first" ]; then
    echo gone
    return
  fi
  # One of them may have ended meanwhile: whether it took, the state of the first one says.
  kill -s "$1" $all 2>/dev/null
  tries=0
  while :; do
    look "$first" || { state=X; break; }
    case $1:$state in STOP:T | CONT:[!T] | TERM:* | KILL:[ZX]) break ;; esac
    # Two seconds in all.
    [ $tries -lt 300 ] || break
    [ $tries -lt 200 ] || sleep 0.02
    tries=$((tries + 1))
  done
  echo "$1 $first $state"
}

serve() {
  while read -r verb one two; do
    case $verb in
    REACH)
      reach "$one" "$two"
      case $? in 0) echo reached ;; 1) echo cut ;; *) echo unable ;; esac
      ;;
    OPEN) connections "$one" ;;
    *) signal "$verb" ;;
    esac
  done
}

if [ "$1" = serve ]; then
  serve
  exit
fi
told=''
trap 'told=1' TERM
naps=0
find_them
if [ "$1" = leave ]; then
  # Those that are not seen within a minute have come and gone.
  until [ -n "$first$told" ] || [ $naps -ge 60 ]; do nap; naps=$((naps + 1)); find_them; done
else
  until [ -n "$told" ]; do nap; done
  find_them
fi
naps=0
# Longer than any of them is given to end.
while [ -n "$first" ] && [ $naps -lt 90 ]; do
  nap
  find_them
  [ -z "$told" ] || naps=$((naps + 1))
done
