#!/bin/sh
# Process 1 of a guest that takes the agent's port from our agent, greets the host as an agent with streams does, and,
# once a stream is asked for, sends the frame WILD and FILL zeros without end.
export PATH=/bin
sleep 2
for comm in /proc/[0-9]*/comm; do
  [ "$(cat $comm)" = mvm-agent ] && { at=${comm%/comm}; kill -9 ${at#/proc/}; }
done
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name)" = org.mvm.agent.0 ] && device=/dev/${port##*/}
done
until (: <>$device) 2>/dev/null; do sleep 0.1; done
exec 3<>$device
echo 'the port is taken' >/dev/console
# Frames: their length, then JSON, or, once a stream is asked for, a byte 1.
while :; do
  set -- $(dd bs=1 count=4 <&3 2>/dev/null | od -An -tu1)
  body=$(dd bs=1 count=$(($3 * 256 + $4)) <&3 2>/dev/null | tr '\000\001' '..')
  case $body in
    '{"Sync":'*)
      token=${body#*'"token":"'}
      answer='{"SyncAck":{"token":"'${token%%'"'*}'","streams":1}}'
      printf '\000\000\000'"\\$(printf %03o ${#answer})"'%s' "$answer" >&3
      ;;
    .*) break ;;
  esac
done
echo 'a stream was asked for' >/dev/console
{ printf "$WILD"; head -c "$FILL" /dev/zero; } >/frame
while :; do cat /frame >&3; done
